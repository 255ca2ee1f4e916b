# Debian packages and how to get them; sourced by ./quickstart and ./check.

ESPY_BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libvulkan-dev glslang-tools libcjson-dev
    libprotobuf-c-dev protobuf-c-compiler libjpeg-dev libspng-dev"
ESPY_RUN_PACKAGES="mesa-vulkan-drivers"
ESPY_TEST_PACKAGES="g++ clang binutils libcriterion-dev vulkan-validationlayers"

# Installs the packages named, those that are not there; needs root or sudo only then.
espy_install_missing()
{
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "== apt-get install$missing"
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "$(basename "$0"): run as root, or install:$missing" >&2
            exit 1
        fi
        sudo=sudo
    fi
    $sudo apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -q -y --no-install-recommends $missing \
        >/dev/null
}
