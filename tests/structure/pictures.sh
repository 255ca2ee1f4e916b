#!/bin/sh
# The commands of docs/pictures.md make the pictures that it shows, in their sizes; the page shows
# all that there are, and together they are small. What is in them may differ a little from device
# to device. Usage: pictures.sh ROOT PROGRAM
set -u
root=$1
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
failed=0
fail() { echo "$1"; failed=1; }

"$root/docs/pictures/make" "$2" "$made" > "$made/said" 2>&1 || { cat "$made/said"; exit 1; }
cd "$root/docs" || exit 1
for picture in "$made"/*.png; do
    name=$(basename "$picture")
    cmp -s -n 24 "$picture" "pictures/$name" || # a PNG's width and height end there
        fail "docs/pictures/$name is missing or has another size; docs/pictures/make makes it"
    grep -q "](pictures/$name)" pictures.md || fail "docs/pictures.md makes $name without showing it"
done
for picture in pictures/*.png; do
    grep -q "]($picture)" pictures.md || fail "docs/pictures.md does not show $picture"
done
for shown in $(sed -n 's/.*](\([^)]*\.png\)).*/\1/p' pictures.md); do
    test -f "$shown" || fail "docs/pictures.md shows $shown, which is not there"
done
size=$(cat pictures/*.png | wc -c)
test "$size" -le 1048576 || fail "docs/pictures has $size bytes of pictures, more than 1 MB"
exit $failed
