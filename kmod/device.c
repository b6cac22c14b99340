// SPDX-License-Identifier: GPL-2.0
/* /dev/hypertier. One exchange at a time: the batch is what makes it fast. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/uaccess.h>

#include "hypertier.h"

static struct {
	struct mutex lock; /* guards all below, and the exchange itself */
	bool exchange;
	char why[128];
	struct ht_xchg_stats stats;
	u64 second; /* the one that spent counts for */
	u64 spent; /* pages */
} dev = { .lock = __MUTEX_INITIALIZER(dev.lock) };

static int ht_open(struct inode *inode, struct file *file)
{
	if (!capable(CAP_SYS_NICE))
		return -EPERM;
	file->private_data = kvzalloc(sizeof(struct ht_ctx), GFP_KERNEL_ACCOUNT);
	return file->private_data ? 0 : -ENOMEM;
}

static int ht_release(struct inode *inode, struct file *file)
{
	kvfree(file->private_data);
	return 0;
}

/* Pages that may still move in this second. */
static bool within_rate(u64 pages)
{
	u64 max = ht_max_pages_per_s(), now = get_jiffies_64() / HZ;

	if (!max)
		return true;
	if (dev.second != now) {
		dev.second = now;
		dev.spent = 0;
	}
	if (dev.spent + pages > max)
		return false;
	dev.spent += pages;
	return true;
}

static int check(const struct ht_xchg *x)
{
	if (x->version != HT_XCHG_VERSION)
		return -EPROTO;
	if (!x->nr || x->nr > (x->huge ? HT_XCHG_MAX_HUGE : HT_XCHG_MAX) || x->nr_moves > x->nr ||
	    x->huge > 1 || x->pad)
		return -EINVAL;
	if (x->hot_node >= 0 && x->hot_node == x->cold_node)
		return -EINVAL;
	return 0;
}

static int check_pairs(const struct ht_xchg *x, const struct ht_xchg_pair *pair)
{
	u64 mask = (x->huge ? HPAGE_PMD_SIZE : PAGE_SIZE) - 1;
	u32 i;

	for (i = 0; i < x->nr; i++)
		if ((pair[i].hot | pair[i].cold) & mask || !pair[i].hot_pid || !pair[i].cold_pid ||
		    (x->nr_moves && pair[i].move >= x->nr_moves))
			return -EINVAL;
	return 0;
}

static void exchange_locked(struct ht_ctx *ctx, struct ht_xchg *x)
{
	u32 i;

	if (within_rate(2 * x->nr * (x->huge ? HPAGE_PMD_NR : 1))) {
		ht_exchange(ctx, x, &dev.stats);
		return;
	}
	x->done = 0;
	for (i = 0; i < x->nr; i++)
		ctx->pair[i].status = HT_XCHG_RATE;
	dev.stats.status[HT_XCHG_RATE] += x->nr;
}

static long do_exchange(struct ht_ctx *ctx, void __user *arg)
{
	void __user *pairs;
	struct ht_xchg x;
	int err;

	if (!capable(CAP_SYS_NICE))
		return -EPERM;
	if (copy_from_user(&x, arg, sizeof(x)))
		return -EFAULT;
	err = check(&x);
	if (err)
		return err;
	pairs = u64_to_user_ptr(x.pairs);
	err = mutex_lock_interruptible(&dev.lock);
	if (err)
		return err;
	err = dev.exchange ? 0 : -EOPNOTSUPP;
	if (!err && (copy_from_user(ctx->pair, pairs, x.nr * sizeof(ctx->pair[0])) ||
		     copy_from_user(ctx->move, u64_to_user_ptr(x.moves),
				    x.nr_moves * sizeof(ctx->move[0]))))
		err = -EFAULT;
	err = err ?: check_pairs(&x, ctx->pair);
	if (!err) {
		exchange_locked(ctx, &x);
		if (copy_to_user(pairs, ctx->pair, x.nr * sizeof(ctx->pair[0])) ||
		    copy_to_user(arg, &x, sizeof(x)))
			err = -EFAULT;
	}
	mutex_unlock(&dev.lock);
	return err;
}

static long get_info(void __user *arg)
{
	struct ht_xchg_info info = {
		.max = HT_XCHG_MAX,
		.max_huge = HT_XCHG_MAX_HUGE,
		.max_pages_per_s = ht_max_pages_per_s(),
	};
	u32 version;

	if (get_user(version, (u32 __user *)arg))
		return -EFAULT;
	if (version != HT_XCHG_VERSION)
		return -EPROTO;
	info.version = HT_XCHG_VERSION;
	mutex_lock(&dev.lock);
	info.flags = dev.exchange ? HT_XCHG_F_EXCHANGE : 0;
	info.stats = dev.stats;
	strscpy(info.why, dev.exchange ? "" : dev.why, sizeof(info.why));
	ht_hook_info(&info);
	mutex_unlock(&dev.lock);
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static long ht_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case HT_XCHG_IOC_EXCHANGE:
		/* The batch belongs to the file: two threads of one owner take turns by dev.lock. */
		return do_exchange(file->private_data, (void __user *)arg);
	case HT_XCHG_IOC_INFO:
		return get_info((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

/* The owner keeps the module loaded for as long as the device is open. */
static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = ht_open,
	.release = ht_release,
	.unlocked_ioctl = ht_ioctl,
};

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hypertier",
	.mode = 0600,
	.fops = &fops,
};

int ht_device_init(bool exchange, const char *why)
{
	dev.exchange = exchange;
	strscpy(dev.why, why, sizeof(dev.why));
	return misc_register(&misc);
}

void ht_device_exit(void)
{
	misc_deregister(&misc);
}
