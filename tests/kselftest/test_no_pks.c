// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product levels=none cpus=2 cpu=max,-pks alone=guest timeout=60 */
/* A CPU without protection keys for supervisor pages */
#include <errno.h>
#include "refused.h"

int main(void)
{
	return refused(ENODEV, "protection keys (PKS)");
}
