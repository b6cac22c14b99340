# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Compares two raw BTF dumps (bpftool btf dump file): ours first, then a kernel's. See vmlinux/check.

function name_of(line) {
	match(line, /'[^']*'/)
	return substr(line, RSTART + 1, RLENGTH - 2)
}

function value_of(line, key) {
	if (!match(line, key "=[0-9-]+"))
		return ""
	return substr(line, RSTART + length(key) + 1, RLENGTH - length(key) - 1)
}

FNR == 1 { f++ }

/^\[/ {
	id = substr($1, 2, length($1) - 2)
	key = f SUBSEP id
	kind[key] = $2
	nr[key] = 0
	size[key] = value_of($0, "size")
	to[key] = value_of($0, "type_id")
	elems[key] = value_of($0, "nr_elems")
	name = name_of($0)
	tname[key] = name
	# The first definition of a name with members wins; forward declarations are FWD.
	if (($2 == "STRUCT" || $2 == "UNION" || $2 == "TYPEDEF") && !((f, $2, name) in by_name))
		by_name[f, $2, name] = id
	if (f == 1 && ($2 == "STRUCT" || $2 == "UNION") && name != "(anon)")
		wanted[++nwanted] = id
	next
}

/^\t'.*val=/ { enumerator[f, name_of($0)] = value_of($0, "val"); if (f == 1) enums[++nenums] = name_of($0); next }

/^\t'.*bits_offset=/ {
	n = ++nr[key]
	mname[key, n] = name_of($0)
	mtype[key, n] = value_of($0, "type_id")
	moff[key, n] = value_of($0, "bits_offset")
	next
}

# Typedefs and qualifiers stripped.
function base(f, id) {
	while (kind[f, id] ~ /^(TYPEDEF|CONST|VOLATILE|RESTRICT|TYPE_TAG)$/)
		id = to[f, id]
	return id
}

function bytes(f, id) {
	id = base(f, id)
	if (kind[f, id] == "PTR")
		return 8
	if (kind[f, id] == "ARRAY")
		return elems[f, id] * bytes(f, to[f, id])
	return size[f, id]
}

# Sets found_type and found_off; looks into anonymous members.
function find(f, id, field, off, i, m) {
	for (i = 1; i <= nr[f, id]; i++) {
		m = mname[f, id, i]
		if (m == field) {
			found_type = mtype[f, id, i]
			found_off = off + moff[f, id, i]
			return 1
		}
		if (m == "(anon)" && find(f, base(f, mtype[f, id, i]), field, off + moff[f, id, i]))
			return 1
	}
	return 0
}

function complain(text) {
	print "#   " text
	bad++
}

# A field of ours against the kernel's.
function check_field(ours, theirs, i, exact, what, a, b, ka, kb) {
	what = tname[1, ours] "." mname[1, ours, i]
	if (!find(2, theirs, mname[1, ours, i], 0))
		return complain(what " is not in the kernel")
	fields++
	a = base(1, mtype[1, ours, i]); b = base(2, found_type)
	ka = kind[1, a]; kb = kind[2, b]
	if (kb == "ENUM" || kb == "ENUM64")
		kb = "INT"
	if (ka != kb)
		complain(what " is " ka " here, " kb " in the kernel")
	else if (ka != "STRUCT" && ka != "UNION" && bytes(1, a) != bytes(2, b))
		complain(what " has " bytes(1, a) " bytes here, " bytes(2, b) " in the kernel")
	if (exact && moff[1, ours, i] != found_off)
		complain(what " is at bit " moff[1, ours, i] " here, " found_off " in the kernel")
}

# Tracepoint records: named by the event here, by its class in the kernel.
function kernel_name(name) {
	if (name == "trace_event_page_fault_user") # the class lost its "x86_" between 6.12 and 6.18
		return (2, "STRUCT", "trace_event_raw_exceptions") in by_name ? \
			"trace_event_raw_exceptions" : "trace_event_raw_x86_exceptions"
	if (name == "trace_event_damon_aggregated")
		return "trace_event_raw_damon_aggregated"
	return name
}

function check_type(ours, name, theirs, exact, i) {
	name = kernel_name(tname[1, ours])
	exact = name ~ /^trace_event_raw_/
	if (name == "bpf_perf_event_data")
		return # UAPI, in no program's BTF; the verifier checks each use of it
	if (!((2, kind[1, ours], name) in by_name)) {
		if (exact) {
			print "#   " name ": no such tracepoint in this kernel"
			return
		}
		return complain(name " is not in the kernel")
	}
	theirs = by_name[2, kind[1, ours], name]
	types++
	for (i = 1; i <= nr[1, ours]; i++)
		if (mname[1, ours, i] != "common") # the record's header
			check_field(ours, theirs, i, exact)
}

END {
	for (w = 1; w <= nwanted; w++)
		check_type(wanted[w])
	for (w = 1; w <= nenums; w++) {
		e = enums[w]
		if (!((2, e) in enumerator))
			complain(e " is not in the kernel")
		else if (enumerator[2, e] != enumerator[1, e])
			complain(e " is " enumerator[1, e] " here, " enumerator[2, e] " in the kernel")
	}
	if (types == 0 || fields == 0)
		complain("nothing was compared")
	printf "%s - vmlinux.h fits %s (%d types, %d fields, %d enumerators)\n", \
		bad ? "not ok" : "ok", kernel, types, fields, nenums
	exit bad > 0
}
