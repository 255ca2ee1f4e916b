#!/bin/sh
# File names are unique, every shader is used, and every global symbol says that it is ours.
# names.sh SOURCE STATIC_LIBRARY SHARED_LIBRARY
set -eu
cd "$1"
status=0

for name in $(find format runtime tools -name '*.[ch]' | sed 's|.*/||' | sort | uniq -d); do
    echo "the file name $name stands for two files"
    status=1
done

for shader in shaders/*.comp; do
    kernel=$(basename "$shader" .comp)
    grep -rqs "\"shaders/$kernel.spv.h\"" runtime || {
        echo "nothing uses $shader"
        status=1
    }
done

for symbol in $(nm -g --defined-only "$2" | awk 'NF == 3 {print $3}' | grep -v '^espy_' |
    grep -vE '^__(asan|odr_asan|ubsan)' || true); do
    echo "global symbol $symbol in $(basename "$2") does not begin with espy_"
    status=1
done

for symbol in $(nm -D --defined-only "$3" | awk '{print $NF}' | grep -vE '^(__|_init|_fini)' || true); do
    grep -qrE "\b$symbol\(" runtime/include || {
        echo "exported symbol $symbol is in no public header"
        status=1
    }
done
exit $status
