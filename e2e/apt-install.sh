#!/bin/sh
# apt-install.sh PACKAGE…: installs Debian packages, as root or with sudo, without starting the daemons among them.
set -eu
if [ "$(id -u)" != 0 ]; then
	exec sudo sh "$0" "$@"
fi
policy=/usr/sbin/policy-rc.d # asked by each package before it starts a daemon; 101 means no
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y --no-install-recommends install "$@"
