/* SPDX-License-Identifier: Apache-2.0 */
/* The target of a request line; see uri.h. */

#include "net/uri.h"

#include "base/err.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -WEIR_EINVAL;
}

/* Decodes one character at *i of raw and moves *i behind it; -1 where malformed. */
static int decode_one(struct weir_sv raw, size_t *i)
{
    char c = raw.p[*i];
    if (c != '%') {
        (*i)++;
        return (unsigned char)c;
    }
    if (raw.n - *i < 3) {
        return -1;
    }
    int high = hex_digit(raw.p[*i + 1]);
    int low = hex_digit(raw.p[*i + 2]);
    *i += 3;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool is_dot_segment(const char *p, size_t n)
{
    return (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
}

static int decode_path(struct weir_sv raw, char *buf, size_t *used, const char **ret_why)
{
    size_t at = 0;
    size_t segment = 0;
    for (size_t i = 0; i < raw.n;) {
        int c = decode_one(raw, &i);
        if (c < 0) {
            return refuse(ret_why, "malformed percent-encoding in the path");
        }
        if (c < 0x20 || c == 0x7f) {
            return refuse(ret_why, "control character in the path");
        }
        if (c == '/') {
            if (is_dot_segment(buf + segment, at - segment)) {
                return refuse(ret_why, "'.' or '..' segment in the path");
            }
            segment = at + 1;
        }
        buf[at++] = (char)c;
    }
    if (is_dot_segment(buf + segment, at - segment)) {
        return refuse(ret_why, "'.' or '..' segment in the path");
    }
    buf[at] = 0;
    *used = at + 1;
    return 0;
}

/* Decodes key or value up to its end; '+' is a space here. */
static int decode_word(struct weir_sv raw, char *buf, size_t *used, const char **ret_why)
{
    size_t at = *used;
    for (size_t i = 0; i < raw.n;) {
        bool is_plus = raw.p[i] == '+';
        int c = decode_one(raw, &i);
        if (c < 0) {
            return refuse(ret_why, "malformed percent-encoding in the query");
        }
        if (c == 0) {
            return refuse(ret_why, "NUL in the query");
        }
        buf[at++] = is_plus ? ' ' : (char)c;
    }
    buf[at++] = 0;
    *used = at;
    return 0;
}

static int
decode_query(struct weir_sv raw, char *buf, size_t used, struct weir_uri *uri, const char **ret_why)
{
    while (raw.p != NULL) {
        struct weir_sv value = weir_sv_cut(&raw, '&');
        if (value.n == 0) {
            continue;
        }
        if (uri->n_query == WEIR_URI_QUERY_MAX) {
            return refuse(ret_why, "too many keys in the query");
        }
        struct weir_sv key = weir_sv_cut(&value, '=');
        uri->query[uri->n_query].key = buf + used;
        int r = decode_word(key, buf, &used, ret_why);
        if (r < 0) {
            return r;
        }
        uri->query[uri->n_query].value = "";
        if (value.p != NULL) {
            uri->query[uri->n_query].value = buf + used;
            r = decode_word(value, buf, &used, ret_why);
            if (r < 0) {
                return r;
            }
        }
        uri->n_query++;
    }
    return 0;
}

/* "http://host/path" becomes "/path". */
static struct weir_sv strip_authority(struct weir_sv raw)
{
    size_t skip = weir_sv_starts(raw, WEIR_SV("http://"))    ? 7
                  : weir_sv_starts(raw, WEIR_SV("https://")) ? 8
                                                             : 0;
    if (skip == 0) {
        return raw;
    }
    while (skip < raw.n && raw.p[skip] != '/' && raw.p[skip] != '?') {
        skip++;
    }
    return (struct weir_sv){raw.p + skip, raw.n - skip};
}

int weir_uri_decode(struct weir_sv raw, char *buf, struct weir_uri *ret, const char **ret_why)
{
    if (memchr(raw.p, '#', raw.n) != NULL) {
        return refuse(ret_why, "'#' in the request target");
    }
    struct weir_sv query = strip_authority(raw);
    bool is_absolute = query.p != raw.p;
    struct weir_sv path = weir_sv_cut(&query, '?');
    if (path.n == 0 && is_absolute) {
        path = WEIR_SV("/");
    }
    if (path.n == 0 || (path.p[0] != '/' && !weir_sv_eq(path, WEIR_SV("*")))) {
        return refuse(ret_why, "the path does not begin with '/'");
    }
    struct weir_uri uri;
    uri.path = buf;
    uri.n_query = 0;
    size_t used = 0;
    int r = decode_path(path, buf, &used, ret_why);
    if (r < 0) {
        return r;
    }
    r = decode_query(query, buf, used, &uri, ret_why);
    if (r < 0) {
        return r;
    }
    ret->path = uri.path;
    ret->n_query = uri.n_query;
    memcpy(ret->query, uri.query, uri.n_query * sizeof(uri.query[0]));
    return 0;
}

void weir_uri_encode(struct weir_str *ret, struct weir_sv text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            weir_str_addc(ret, (char)c);
        } else {
            weir_str_addc(ret, '%');
            weir_str_addc(ret, hex[c >> 4]);
            weir_str_addc(ret, hex[c & 15]);
        }
    }
}
