# Debian packages and how to get them; sourced by ./quickstart and ./check.

ESPY_BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config libvulkan-dev glslang-tools libcjson-dev
    libprotobuf-c-dev protobuf-c-compiler libjpeg-dev libspng-dev"
ESPY_RUN_PACKAGES="mesa-vulkan-drivers"
ESPY_TEST_PACKAGES="g++ clang binutils libcriterion-dev libonnx-testdata
    vulkan-validationlayers"

# Runs a command as root, with sudo where that is needed.
espy_as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "$(basename "$0"): run as root, or do: $*" >&2
        exit 1
    fi
}

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
    espy_as_root apt-get update -q >/dev/null
    espy_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
        --no-install-recommends $missing >/dev/null
}

# Puts SwiftShader, a second Vulkan driver, into a folder: Chromium's package carries it and needs some
# 300 MB of other packages, of which the driver uses none. ESPY_SWIFTSHADER_ICD is its manifest then.
espy_fetch_swiftshader()
{
    ESPY_SWIFTSHADER_ICD="$1/usr/lib/chromium/vk_swiftshader_icd.json"
    [ ! -f "$ESPY_SWIFTSHADER_ICD" ] || return 0
    echo "== apt-get download chromium-common (SwiftShader)"
    rm -rf "$1"
    mkdir -p "$1"
    # The package lists may be older than what the mirrors hold.
    (cd "$1" && apt-get download -q chromium-common >/dev/null 2>&1) || {
        espy_as_root apt-get update -q >/dev/null
        (cd "$1" && apt-get download -q chromium-common >/dev/null)
    }
    dpkg-deb --fsys-tarfile "$1"/chromium-common_*.deb |
        tar -x -C "$1" ./usr/lib/chromium/libvk_swiftshader.so \
            ./usr/lib/chromium/vk_swiftshader_icd.json
    rm "$1"/chromium-common_*.deb
}
