# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# A program's --help (argp, wide) as mdoc: the list of its options, by group. With keys=1 as the keys
# of a configuration file: the long options that are not in the list "commands".
function esc(s) { gsub(/\\/, "\\e", s); gsub(/-/, "\\-", s); sub(/^[.']/, "\\\\\\&&", s); return s }
function flush(  n, i, part, name, arg, out)
{
	if (flags == "")
		return
	n = split(flags, part, /, +/)
	name = part[n]
	arg = ""
	if (match(name, /[=[]/)) {
		arg = substr(name, RSTART)
		name = substr(name, 1, RSTART - 1)
	}
	sub(/^--/, "", name)
	if (keys && index(" " commands " ", " " name " ")) {
		flags = ""
		return
	}
	if (arg ~ /^\[=/) {
		sub(/^\[=/, "", arg)
		sub(/\]$/, "", arg)
		out = keys ? " = Ar " esc(arg) : " Ns Oo = Ns Ar " esc(arg) " Oc"
	} else if (arg != "") {
		sub(/^=/, "", arg)
		out = keys ? " = Ar " esc(arg) : " Ns = Ns Ar " esc(arg)
	} else if (keys) {
		out = " = Ar number"
	}
	if (keys)
		printf ".It Ic %s%s\n", esc(name), out
	else
		printf(".It%s Fl \\-%s%s\n", (n > 1 ? " Fl " esc(substr(part[1], 2)) " ," : ""), esc(name), out)
	sub(/^ +/, "", text)
	sub(/ +$/, "", text)
	print esc(text) (text ~ /\.$/ ? "" : ".")
	flags = text = ""
}
function list(on)
{
	if (on && !inside)
		print ".Bl -tag -width Ds"
	if (!on && inside)
		print ".El"
	inside = on
}
/^ +-[^ ]/ {
	flush()
	line = $0
	sub(/^ +/, "", line)
	if (keys && line ~ /--(help|usage|version)( |$)/)
		next
	i = match(line, /  +/)
	flags = i ? substr(line, 1, i - 1) : line
	text = i ? substr(line, i) : ""
	list(1)
	next
}
/^ {10}/ && flags != "" { sub(/^ +/, ""); text = text " " $0; next }
/^ [^ ].*:$/ && !keys {
	flush()
	list(0)
	sub(/^ +/, "")
	sub(/:$/, "")
	print ".Ss " toupper(substr($0, 1, 1)) substr($0, 2)
	next
}
{ flush() }
END { flush(); list(0) }
