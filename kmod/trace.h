/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints hypertier:ht_exchange_pair, ht_exchange and ht_hook. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM hypertier

#if !defined(HYPERTIER_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define HYPERTIER_TRACE_H

#include <linux/tracepoint.h>

#include <hypertier/exchange.h>

TRACE_EVENT(ht_exchange_pair,
	TP_PROTO(const struct ht_xchg_pair *pair, bool huge),
	TP_ARGS(pair, huge),
	TP_STRUCT__entry(
		__field(u64, hot)
		__field(u64, cold)
		__field(u32, hot_pid)
		__field(u32, cold_pid)
		__field(u32, status)
		__field(bool, huge)
	),
	TP_fast_assign(
		__entry->hot = pair->hot;
		__entry->cold = pair->cold;
		__entry->hot_pid = pair->hot_pid;
		__entry->cold_pid = pair->cold_pid;
		__entry->status = pair->status;
		__entry->huge = huge;
	),
	TP_printk("hot %u:%#llx cold %u:%#llx huge %d status %u", __entry->hot_pid, __entry->hot,
		  __entry->cold_pid, __entry->cold, __entry->huge, __entry->status)
);

TRACE_EVENT(ht_exchange,
	TP_PROTO(u32 nr, u32 done, bool huge, u64 ns),
	TP_ARGS(nr, done, huge, ns),
	TP_STRUCT__entry(
		__field(u32, nr)
		__field(u32, done)
		__field(bool, huge)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->nr = nr;
		__entry->done = done;
		__entry->huge = huge;
		__entry->ns = ns;
	),
	TP_printk("pairs %u done %u huge %d ns %llu", __entry->nr, __entry->done, __entry->huge,
		  __entry->ns)
);

/* event: 0 attached, 1 replaced, 2 detached, 3 ejected */
TRACE_EVENT(ht_hook,
	TP_PROTO(const char *name, u32 event),
	TP_ARGS(name, event),
	TP_STRUCT__entry(
		__array(char, name, HT_NAME_LEN)
		__field(u32, event)
	),
	TP_fast_assign(
		memcpy(__entry->name, name, HT_NAME_LEN);
		__entry->event = event;
	),
	TP_printk("policy %.16s event %u", __entry->name, __entry->event)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
