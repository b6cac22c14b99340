// SPDX-License-Identifier: GPL-2.0
/*
 * hypertier.ko, the kernel migration helper: exchanges pages of two tiers in place, and offers the
 * struct_ops type hypertier_ops. Optional; see docs/kernel-helper.md.
 */
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "hypertier.h"

static bool exchange;
module_param(exchange, bool, 0444);
MODULE_PARM_DESC(exchange, "offer the exchange of pages, which needs kernel functions that are not exported (default: no)");

static unsigned long max_pages_per_s = 1UL << 20;
module_param(max_pages_per_s, ulong, 0644);
MODULE_PARM_DESC(max_pages_per_s, "4 KiB pages exchanged per second at most, 0 = no limit (default: 1048576, 4 GiB/s)");

u64 ht_max_pages_per_s(void)
{
	return READ_ONCE(max_pages_per_s);
}

static int __init ht_init(void)
{
	char why[128] = "switched off: load the module with exchange=1";
	int err;

	if (exchange) {
		err = ht_resolve(why, sizeof(why));
		if (err) {
			pr_ht(KERN_ERR, "exchange is not possible on this kernel: %s; without exchange=1 the hook alone loads\n", why);
			return err;
		}
	}
	err = ht_hook_init();
	if (err) {
		pr_ht(KERN_ERR, "struct_ops type hypertier_ops cannot be registered: %d (does the module have BTF?)\n", err);
		return err;
	}
	err = ht_device_init(exchange, why);
	if (err) {
		ht_hook_exit();
		return err;
	}
	pr_ht(KERN_INFO, "interface %d, exchange %s\n", HT_XCHG_VERSION, exchange ? "on" : "off");
	return 0;
}

static void __exit ht_exit(void)
{
	ht_device_exit();
	ht_hook_exit();
}

module_init(ht_init);
module_exit(ht_exit);
MODULE_DESCRIPTION("HyperTier kernel migration helper");
MODULE_LICENSE("GPL");
