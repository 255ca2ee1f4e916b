#!/bin/sh
# The arrows between modules that docs/architecture.md draws are law: fails on any other #include.
set -eu
cd "$1"
status=0

# allow FOLDER PATTERN...: files of FOLDER include only headers whose paths match a pattern.
allow()
{
    folder=$1
    shift
    pattern=$(printf '|%s' "$@" | cut -c2-)
    for file in "$folder"/*.c "$folder"/*.h; do
        [ -e "$file" ] || continue
        bad=$(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file" | grep -Ev "^($pattern)\$" || true)
        for header in $bad; do
            echo "$file must not include \"$header\""
            status=1
        done
    done
}

allow format 'format/[a-z_]+\.h' 'base/base\.h'
allow runtime/base 'base/[a-z0-9_]+\.h' 'espy/espy\.h'
allow runtime/op 'op/[a-z_]+\.h' 'base/[a-z_]+\.h' 'format/graph\.h' 'shaders/include/unary_codes\.glsl'
allow runtime/ops 'op/[a-z_]+\.h' '[a-z_]+\.h' 'ops/[a-z_]+\.h' 'shaders/[a-z0-9_]+\.spv\.h' \
    'shaders/include/[a-z_]+\.glsl'
allow runtime/plan 'plan/[a-z_]+\.h' 'op/[a-z_]+\.h' 'format/graph\.h' 'base/[a-z_]+\.h' \
    'shaders/copy\.spv\.h'
allow runtime/vk 'vk/[a-z_]+\.h' 'plan/plan\.h' 'base/[a-z_]+\.h'
allow runtime/api 'api/[a-z_]+\.h' 'vk/vk\.h' 'plan/(plan|choices)\.h' 'format/format\.h' 'base/[a-z_]+\.h' \
    'espy/[a-z]+\.h'
allow tools/convert 'convert/[a-z_]+\.h' 'passes/passes\.h' 'layers/layers\.h' 'format/(format|graph)\.h' 'op/op\.h' \
    'base/[a-z_]+\.h' 'espy/espy\.h' 'onnx\.pb-c\.h'
allow tools/layers 'layers/[a-z_]+\.h' 'format/(format|graph)\.h' 'op/op\.h' 'base/base\.h'
allow tools/layers/blocks 'layers/layer\.h'
allow tools/passes 'passes/[a-z_]+\.h' 'convert/convert\.h' 'format/(format|graph)\.h' 'op/op\.h' \
    'base/[a-z_]+\.h' 'espy/espy\.h'

# Vulkan's header is for vk and its public counterpart alone.
for file in $(grep -rlE '#include [<"]vulkan/' format runtime tools | grep -v '^runtime/vk/' |
    grep -v '^runtime/include/espy/vulkan.h' || true); do
    echo "$file must not include Vulkan's headers"
    status=1
done
exit $status
