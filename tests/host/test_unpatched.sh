#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# On Debian's own kernel, of the same version, insmod fails and the kernel says why.
top=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
out=$(sh -c '. "$1"; printf %s "$out"' "$top/scripts/x" "$top/scripts/common.sh")
dir=${out%/*}/unpatched
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The package is large: unpacked once for each of its versions.
package=$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
version=$(apt-cache show --no-all-versions "$package" 2>/dev/null | sed -n 's/^Version: //p')
kernel=$dir/$version/vmlinuz
if [ -n "$version" ] && [ ! -f "$kernel" ]; then
	mkdir -p "$dir/$version" &&
		(cd "$scratch" && apt-get -qq download "$package" 2>/dev/null &&
		 dpkg-deb --fsys-tarfile ./*.deb | tar -xO "./boot/vmlinuz-${package#linux-image-}") \
		>"$kernel.$$" && mv "$kernel.$$" "$kernel"
fi
if [ ! -s "$kernel" ]; then
	echo "ok 1 - # SKIP Debian's kernel package cannot be had here"
	exit 4
fi

mkdir "$scratch/bin"
cp /bin/busybox "$scratch/bin/"
cp "$out/kernel/product/moat.ko" "$scratch/" || exit 1
cat >"$scratch/init" <<'EOT'
#!/bin/busybox sh
/bin/busybox mkdir /dev /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
exec >/dev/console 2>&1
/bin/busybox insmod /moat.ko
echo "insmod: $?"
echo "modules: $(/bin/busybox grep -c moat /proc/modules)"
/bin/busybox reboot -f
EOT
chmod +x "$scratch/init"
(cd "$scratch" && find bin init moat.ko | cpio --quiet -o -H newc | gzip -1) >"$scratch/initrd"
timeout 120 qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
	-cpu max,+pks -m 512 -accel tcg -kernel "$kernel" -initrd "$scratch/initrd" \
	-append "console=ttyS0 panic=-1" -serial stdio </dev/null >"$scratch/console" 2>&1

n=0 failed=0
says() { # name, pattern
	n=$((n + 1))
	if grep -q "$2" "$scratch/console"; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1: $(tail -n 1 "$scratch/console")"
		failed=1
	fi
}
says "insmod fails" "^insmod: [1-9]"
says "it says why" "moat: .*\(version magic\|Unknown symbol\|no symbol version\|disagrees about\)"
says "there is no module" "^modules: 0"
exit $failed
