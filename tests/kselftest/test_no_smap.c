// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product levels=none cpus=2 cpu=max,+pks,-smap alone=guest timeout=60 */
/* A CPU on which programs could reach the user's memory: no key guards that. */
#include <errno.h>
#include "refused.h"

int main(void)
{
	return refused(ENODEV, "no SMAP");
}
