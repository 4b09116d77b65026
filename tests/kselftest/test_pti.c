// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=product levels=none cpus=2 boot=pti=on alone=guest timeout=60 */
/* Page table isolation: the user page tables have no window. */
#include <errno.h>
#include "refused.h"

int main(void)
{
	return refused(EOPNOTSUPP, "page table isolation");
}
