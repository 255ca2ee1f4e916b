#include "format/format_internal.h"

#include <string.h>

// cJSON builds the tree, but takes more than JSON (01, 1e999, text after the end, control
// characters as space) and cuts strings at \u0000, so the text is checked here first. Not
// recursive: the text is not trusted.

struct scan {
    const struct host *host;
    const char *file;
    const char *start, *at, *end;
    uint32_t items, depth;
    bool in_object[FORMAT_JSON_DEPTH_MAX];
};

enum want { WANT_VALUE, WANT_VALUE_OR_CLOSE, WANT_KEY, WANT_KEY_OR_CLOSE, WANT_NEXT };

static espy_status refuse(const struct scan *scan, const char *what)
{
    uint32_t line = 1, column = 1;
    for (const char *c = scan->start; c < scan->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    return espy_fail(scan->host, ESPY_BAD_FORMAT, "%s: JSON line %u, column %u: %s", scan->file,
                     (unsigned)line, (unsigned)column, what);
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
}

// The next character, or NUL at the end; a NUL in the text is no token either.
static char peek(const struct scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

static bool take(struct scan *scan, const char *word)
{
    const size_t length = strlen(word);
    if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
        return false;
    scan->at += length;
    return true;
}

// Four hexadecimal digits, or -1.
static int32_t take_hex(struct scan *scan)
{
    int32_t unit = 0;
    for (int i = 0; i < 4; i++, scan->at++) {
        const char c = peek(scan);
        if (c >= '0' && c <= '9')
            unit = unit * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            unit = unit * 16 + (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            unit = unit * 16 + (c - 'A' + 10);
        else
            return -1;
    }
    return unit;
}

// After the backslash.
static espy_status scan_escape(struct scan *scan)
{
    const char c = peek(scan);
    if (c != '\0' && strchr("\"\\/bfnrt", c) != NULL) {
        scan->at++;
        return ESPY_OK;
    }
    if (c != 'u')
        return refuse(scan, "unknown escape in a string");
    scan->at++;
    const int32_t unit = take_hex(scan);
    if (unit < 0)
        return refuse(scan, "\\u needs four hexadecimal digits");
    if (unit == 0)
        return refuse(scan, "\\u0000 is not allowed");
    if (unit < 0xd800 || unit > 0xdfff)
        return ESPY_OK;
    int32_t low = 0;
    if (unit <= 0xdbff && take(scan, "\\u"))
        low = take_hex(scan);
    return low >= 0xdc00 && low <= 0xdfff ? ESPY_OK : refuse(scan, "half of a surrogate pair");
}

// At the opening quote.
static espy_status scan_string(struct scan *scan)
{
    scan->at++;
    while (scan->at < scan->end) {
        const unsigned char c = (unsigned char)*scan->at;
        if (c == '"') {
            scan->at++;
            return ESPY_OK;
        }
        if (c < 0x20)
            return refuse(scan, "control character in a string");
        if (c == '\\') {
            scan->at++;
            TRY(scan_escape(scan));
            continue;
        }
        const size_t length = espy_format_utf8(scan->at, scan->end);
        if (length == 0)
            return refuse(scan, "not valid UTF-8");
        scan->at += length;
    }
    return refuse(scan, "a string has no end");
}

static bool take_digits(struct scan *scan)
{
    const char *first = scan->at;
    while (peek(scan) >= '0' && peek(scan) <= '9')
        scan->at++;
    return scan->at > first;
}

static espy_status scan_number(struct scan *scan)
{
    const char *first = scan->at;
    if (peek(scan) == '-')
        scan->at++;
    if (peek(scan) == '0')
        scan->at++;
    else if (!take_digits(scan))
        return refuse(scan, "a number needs a digit");
    if (peek(scan) >= '0' && peek(scan) <= '9')
        return refuse(scan, "a number starts with a needless 0");
    if (peek(scan) == '.') {
        scan->at++;
        if (!take_digits(scan))
            return refuse(scan, "a number needs a digit after the point");
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->at++;
        if (peek(scan) == '+' || peek(scan) == '-')
            scan->at++;
        if (!take_digits(scan))
            return refuse(scan, "a number needs a digit in its exponent");
    }
    if (scan->at - first > FORMAT_JSON_NUMBER_MAX)
        return refuse(scan, "a number is longer than 60 characters");
    return ESPY_OK;
}
_Static_assert(FORMAT_JSON_NUMBER_MAX == 60, "the message above says so");

static espy_status open_level(struct scan *scan, bool object, enum want *want)
{
    if (scan->depth == FORMAT_JSON_DEPTH_MAX)
        return refuse(scan, "nested deeper than 16");
    scan->in_object[scan->depth++] = object;
    scan->at++;
    *want = object ? WANT_KEY_OR_CLOSE : WANT_VALUE_OR_CLOSE;
    return ESPY_OK;
}
_Static_assert(FORMAT_JSON_DEPTH_MAX == 16, "the message above says so");

static espy_status scan_value(struct scan *scan, enum want *want)
{
    if (++scan->items > FORMAT_JSON_ITEMS_MAX)
        return refuse(scan, "more than 16777216 values");
    *want = WANT_NEXT;
    const char c = peek(scan);
    if (c == '{' || c == '[')
        return open_level(scan, c == '{', want);
    if (c == '"')
        return scan_string(scan);
    if (c == '-' || (c >= '0' && c <= '9'))
        return scan_number(scan);
    if (take(scan, "true") || take(scan, "false") || take(scan, "null"))
        return ESPY_OK;
    return refuse(scan, scan->at == scan->end ? "the text ends too early" : "expected a value");
}
_Static_assert(FORMAT_JSON_ITEMS_MAX == 16777216, "the message above says so");

static espy_status scan_key(struct scan *scan)
{
    if (peek(scan) != '"')
        return refuse(scan, "expected a key in quotes");
    TRY(scan_string(scan));
    skip_space(scan);
    if (peek(scan) != ':')
        return refuse(scan, "expected ':'");
    scan->at++;
    return ESPY_OK;
}

// After a value: a comma and more, or the end of the level.
static espy_status scan_next(struct scan *scan, enum want *want)
{
    const bool object = scan->in_object[scan->depth - 1];
    const char c = peek(scan);
    if (c == ',')
        *want = object ? WANT_KEY : WANT_VALUE;
    else if (c == (object ? '}' : ']'))
        scan->depth--;
    else
        return refuse(scan, object ? "expected ',' or '}'" : "expected ',' or ']'");
    scan->at++;
    return ESPY_OK;
}

espy_status espy_format_scan_json(const struct host *host, const char *file, const char *json,
                                  size_t size)
{
    struct scan scan = {.host = host, .file = file, .start = json, .at = json, .end = json + size};
    enum want want = WANT_VALUE;
    do {
        skip_space(&scan);
        const bool may_close = want == WANT_KEY_OR_CLOSE || want == WANT_VALUE_OR_CLOSE;
        if (may_close && peek(&scan) == (want == WANT_KEY_OR_CLOSE ? '}' : ']'))
            want = WANT_NEXT;
        if (want == WANT_NEXT) {
            TRY(scan_next(&scan, &want));
        } else if (want == WANT_KEY || want == WANT_KEY_OR_CLOSE) {
            TRY(scan_key(&scan));
            want = WANT_VALUE;
        } else {
            TRY(scan_value(&scan, &want));
        }
    } while (scan.depth > 0 || want != WANT_NEXT);
    skip_space(&scan);
    if (scan.at < scan.end)
        return refuse(&scan, "text after the end");
    return ESPY_OK;
}
