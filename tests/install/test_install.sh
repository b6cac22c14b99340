#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# What is installed, by make install and by the Debian packages; a policy built outside of the tree;
# unit, completion and man pages against the programs they are about.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
export BUILD=${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
root=$dir/root
# test_systemd.sh makes packages of the same files.
exec 9>"$BUILD/packages.lock"
flock 9

# runs WHAT COMMAND...
runs()
{
	local what=$1
	shift
	if "$@" >"$dir/log" 2>&1; then
		ok "$what"
	else
		not_ok "$what (exit status $?)"
		tail -n 15 "$dir/log" | sed 's/^/# /'
	fi
}

options_of() { LC_ALL=C "$1" --help | grep -oE '^ +(-[a-zA-Z?], +)?--[a-z-]+' | grep -oE -e '--[a-z-]+' | sort -u; }

# policy PREFIX-ARGS...: the policy of hypertier-policy(7), built with what is installed alone.
write_policy()
{
	cat >"$dir/mine.bpf.c" <<-'END'
		// SPDX-License-Identifier: GPL-2.0
		#include <hypertier/policy.bpf.h>
		HYPERTIER_KNOB(weight, 4, 1, 100, "loads that one store counts for");
		static __u64 mine_rank(const struct ht_range *r) { return r->density + r->writes * weight.value; }
		HYPERTIER_OPS_DEFINE(mine, .rank = mine_rank);
	END
}

# build_policy ROOT PREFIX [FLAGS...]
build_policy()
{
	local sys=$1 flags
	flags=$(PKG_CONFIG_SYSROOT_DIR=$sys PKG_CONFIG_LIBDIR=$sys$2/share/pkgconfig pkg-config --cflags hypertier) || return
	shift 2
	# shellcheck disable=SC2086 # flags are words
	(cd "$dir" && "${CLANG:-clang}" -g -O2 -mcpu=v3 -target bpf $flags "$@" -c mine.bpf.c -o mine.bpf.o)
}

test_make_install()
{
	local p=/opt/ht

	runs "make install" make -s install "DESTDIR=$root" "PREFIX=$p" SYSCONFDIR=/etc/opt
	for f in sbin/hypertier-{load,top,heatmap,provision,replay} lib/hypertier/policies/range.bpf.o \
		include/hypertier/{policy.bpf.h,ops.h,bpf/vmlinux.h} share/pkgconfig/hypertier.pc \
		share/man/man8/hypertier-{load,top,heatmap,provision,replay}.8 share/man/man5/hypertier.conf.5 \
		share/man/man7/hypertier-policy.7 lib/systemd/system/hypertier{,@}.service \
		share/bash-completion/completions/hypertier-load; do
		[[ -s $root$p/$f ]] || not_ok "$f is installed"
	done
	check "nothing is installed elsewhere" "$(printf '/etc/opt\n/opt/ht')" \
		"$(cd "$root" && find etc opt -mindepth 1 -maxdepth 1 -printf '/%p\n' | sort)"
	lacks "nothing is left to fill in" <(grep -rhoE '@[A-Z]+@' "$root$p/lib/systemd" "$root$p/share") .
	runs "the installed loader finds the installed policies" "$root$p/sbin/hypertier-load" --help-policy threshold
	runs "the configuration is valid" "$root$p/sbin/hypertier-load" validate "$root/etc/opt/hypertier/hypertier.conf"
	write_policy
	runs "a policy outside the tree builds: one header, one command" build_policy "$root" "$p"
	runs "and is a policy" "$root$p/sbin/hypertier-load" --help-policy "$dir/mine.bpf.o"
	contains "with its knob" "$dir/log" '^weight '
	echo '# mine' >>"$root/etc/opt/hypertier/hypertier.conf"
	runs "make install, again" make -s install "DESTDIR=$root" "PREFIX=$p" SYSCONFDIR=/etc/opt
	contains "a changed configuration stays" "$root/etc/opt/hypertier/hypertier.conf" '^# mine'
	runs "make uninstall" make -s uninstall "DESTDIR=$root" "PREFIX=$p" SYSCONFDIR=/etc/opt
	check "it leaves the changed configuration alone" "$root/etc/opt/hypertier/hypertier.conf" "$(find "$root" -type f)"
}

# The checks of systemd, on a unit whose paths exist.
test_unit()
{
	local u=$dir/units

	if ! command -v systemd-analyze >/dev/null; then
		skip "the unit" "no systemd-analyze here"
		return
	fi
	mkdir -p "$u"
	for f in hypertier hypertier@; do
		sed -e "s|@PREFIX@/sbin|$PWD/$BUILD|; s|@SYSCONFDIR@|/etc|" "packaging/$f.service.in" >"$u/$f.service"
	done
	runs "systemd takes the units" systemd-analyze verify --man=no "$u/hypertier.service" "$u/hypertier@x.service"
	# It prints what it does not know and succeeds.
	check "without a complaint" "" "$(grep -F "$u" "$dir/log")"
	check "bounding set of both units" \
		"CAP_BPF CAP_DAC_READ_SEARCH CAP_PERFMON CAP_SYS_ADMIN CAP_SYS_NICE CAP_SYS_PTRACE" \
		"$(sed -n 's/^CapabilityBoundingSet=//p' packaging/*.service.in | tr ' ' '\n' | sort -u | paste -sd' ')"
}

test_pages()
{
	local page program name

	for page in "$BUILD"/man/*; do
		runs "${page##*/}: mandoc has nothing to say" mandoc -Tlint -Wwarning "$page"
		[[ $page == *.8 ]] || continue
		name=$(basename "$page" .8)
		program=$BUILD/$name
		[[ $name != hypertier-replay ]] || program=$BUILD/replay
		check "${page##*/} and --help have the same options" "$(options_of "$program")" \
			"$(mandoc -Tascii "$page" | sed 's,.\x08,,g' | sed -n '/^OPTIONS/,/^[A-NP-Z][A-Z]/p' |
				grep -E '^     -' | grep -oE -e '--[a-z-]+' | sort -u)"
	done
	check "each key of hypertier.conf(5) is one that a file takes, and the other way round" \
		"$(options_of "$BUILD/hypertier-load" | sed 's/^--//' |
			grep -vxE 'help|usage|version|config|probe|help-policy|status|unload|list' | sort)" \
		"$(mandoc -Tascii "$BUILD/man/hypertier.conf.5" | sed 's,.\x08,,g' | sed -n '/^KEYS/,/^FILES/p' |
			grep -oE '^     [a-z-]+ = ' | tr -d ' =' | grep -vx policy | sort)"
}

# complete WORD...: what is offered for the last one
complete_words()
{
	bash --norc -c '
		PATH=$PWD/$BUILD:$PATH
		. packaging/completion/hypertier-load
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_hypertier "$1" && printf "%s\n" "${COMPREPLY[@]}"' _ "$@"
}

test_completion()
{
	check "completion of options is --help's" "$(options_of "$BUILD/hypertier-load")" \
		"$(complete_words hypertier-load -- | sort)"
	check "of sources" "damon" "$(complete_words hypertier-load --source da)"
	check "of --option=value" "stop" "$(complete_words hypertier-load --on-eject = st)"
	check "of commands" "validate" "$(complete_words hypertier-load val)"
	check "of policies" "threshold.bpf.o" "$(complete_words hypertier-load thr)"
	check "of a companion's options" "--no-color" "$(complete_words hypertier-top --no)"
	check "of backends" "move_pages" "$(complete_words hypertier-load --backend mo)"
	# A tenant chooses its process's name, root completes it.
	ln -s /bin/sleep "$dir/\$(>x)"
	(cd "$dir" && exec "./\$(>x)" 60) &
	named=$!
	wait_for 10 grep -qxF '$(>x)' /proc/$named/comm || not_ok "a process of that name runs"
	(cd "$dir" && ln -sfn "$OLDPWD/packaging" packaging && PATH=$OLDPWD/$BUILD:$PATH complete_words hypertier-load --comm '') >"$dir/names"
	kill $named
	wait $named 2>/dev/null
	contains "names of processes are offered" "$dir/names" '^bash$'
	lacks "but none that a shell would run" "$dir/names" '[$(]'
	check "nor is it run" "no" "$([[ -e $dir/x ]] && echo yes || echo no)"
}

# The programs start no others, but for tests' own.
test_no_shell()
{
	check "no program calls system(), popen() or exec*()" "" \
		"$(grep -nE '\b(system|popen|exec(l|lp|le|v|vp|vpe|ve)|posix_spawnp?)[ ]*\(' loader/*.[ch] provision/*.[ch] \
			tools/top/*.[ch] tools/heatmap/*.[ch] tools/replay/*.[ch] 2>/dev/null)"
	for p in load top heatmap provision; do
		check "hypertier-$p imports none of them" "" "$(nm -D --undefined-only "$BUILD/hypertier-$p" |
			grep -oE '\b(system|popen|exec(l|lp|le|v|vp|vpe|ve)|posix_spawnp?)\b')"
	done
}

in_chroot()
{
	unshare -m bash -c 'mount --rbind /proc "$0/proc"
		exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"' \
		"$dir/chroot" "$@"
}

# $dir/x is the package, unpacked.
check_dkms_version()
{
	local v
	v=$(sed -n 's/^Version: //p' "$dir/x/DEBIAN/control")

	check "hypertier-dkms: package, folder, dkms.conf and maintainer scripts have one version" "$v $v $v $v" \
		"$(basename "$dir"/x/usr/src/hypertier-* | sed 's/^hypertier-//') $(
		sed -n 's/^PACKAGE_VERSION="\(.*\)"$/\1/p' "$dir"/x/usr/src/hypertier-*/dkms.conf) $(
		sed -n 's/.*common.postinst hypertier \([^ ]*\) .*/\1/p' "$dir/x/DEBIAN/postinst") $(
		sed -n 's/.*dkms remove -m hypertier -v \([^ ]*\) .*/\1/p' "$dir/x/DEBIAN/prerm")"
	# The pattern is what the dkms of Debian 12 has for this.
	check "hypertier-dkms: which kernels it is built for" "no no no yes yes yes yes" "$(
		# shellcheck source=/dev/null
		. "$(echo "$dir"/x/usr/src/hypertier-*/dkms.conf)"
		for k in 6.1.0-50-amd64 6.9.3 6.11.10 6.12.117+deb13 6.18.2 7.2.13 10.0.1; do
			[[ $k =~ $BUILD_EXCLUSIVE_KERNEL ]] && echo yes || echo no
		done | paste -sd' ')"
}

test_packages()
{
	local d n t=$SECONDS

	runs "make deb" make -s deb
	for d in "$BUILD"/deb/*.deb; do
		n=${d##*/}
		n=${n%%_*}
		rm -rf "$dir/x"
		dpkg-deb -R "$d" "$dir/x"
		check "$n: files are root's and nobody else may write" "" \
			"$(dpkg-deb -c "$d" | awk '$2 != "root/root" || ($1 !~ /^l/ && substr($1, 6, 1) == "w") || substr($1, 9, 1) == "w"')"
		runs "$n: checksums" bash -c "cd '$dir/x' && md5sum --quiet -c DEBIAN/md5sums"
		for f in copyright changelog.gz; do
			[[ -s $dir/x/usr/share/doc/$n/$f ]] || not_ok "$n: has a $f"
		done
		for f in "$dir"/x/DEBIAN/p*; do
			[[ ! -f $f ]] || runs "$n: ${f##*/} is a shell script" sh -n "$f"
		done
		[[ $n != hypertier-dkms ]] || check_dkms_version
	done
	[[ -f $(echo "$BUILD"/deb/hypertier-dkms_*.deb) ]] || not_ok "hypertier-dkms is made"
	cp "$BUILD"/deb/hypertier-tools_*.deb "$dir/first.deb"
	runs "make deb, once more" make -s deb
	runs "the same bytes come out" cmp "$dir/first.deb" "$BUILD"/deb/hypertier-tools_*.deb
	if [[ $(id -u) -ne 0 || ! -f $BUILD/lab/stamp/chroot ]]; then
		skip "installing the packages" "needs root, and tools/setup --chroot"
		return
	fi
	cp -a "$BUILD/lab/chroot" "$dir/chroot"
	cp "$BUILD"/deb/hypertier-{tools,dev}_*.deb "$dir/chroot/tmp/"
	runs "a clean Debian takes the packages" in_chroot sh -c 'dpkg -i /tmp/*.deb'
	runs "dpkg finds them whole" in_chroot dpkg --verify hypertier-tools hypertier-dev
	check "its verification is empty" "" "$(cat "$dir/log")"
	for p in load top heatmap provision replay; do
		runs "hypertier-$p runs there" in_chroot "hypertier-$p" --version
	done
	runs "the configuration is valid there" in_chroot hypertier-load validate /etc/hypertier/hypertier.conf
	write_policy
	runs "a policy builds with that Debian's headers alone" build_policy "$dir/chroot" /usr \
		--sysroot="$dir/chroot" -isystem "$dir/chroot/usr/include"
	cp "$dir/mine.bpf.o" "$dir/chroot/tmp/"
	runs "and the loader there takes it" in_chroot hypertier-load --help-policy /tmp/mine.bpf.o
	echo '# mine' >>"$dir/chroot/etc/hypertier/hypertier.conf"
	runs "removing them" in_chroot dpkg --remove hypertier-tools hypertier-dev
	check "leaves the configuration alone" /etc/hypertier/hypertier.conf \
		"$(cd "$dir/chroot" && find . -path '*hypertier*' -type f ! -path './var/lib/dpkg/*' ! -path './tmp/*' -printf '/%P\n')"
	runs "purging takes that too" in_chroot dpkg --purge hypertier-tools
	check "and nothing is left" "" "$(cd "$dir/chroot" && find etc usr -path '*hypertier*')"
	echo "# packages: $((SECONDS - t)) s"
}

for t in make_install unit pages completion no_shell packages; do
	"test_$t"
done
exit $((failed > 0))
