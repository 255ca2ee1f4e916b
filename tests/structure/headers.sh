#!/bin/sh
# Every public header compiles alone, as C11 and as C++17, on both compilers where they are there.
set -eu
cd "$1/runtime/include"
status=0
for header in espy/*.h; do
    for cc in gcc clang; do
        command -v $cc >/dev/null || continue
        echo "#include <$header>" |
            $cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I. -fsyntax-only -x c - || status=1
    done
    echo "#include <$header>" |
        g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -I. -fsyntax-only -x c++ - || status=1
done
exit $status
