/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/ec2/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "net/digest.h"
#include "net/gnutls_lib.h"

enum { CANONICAL_BYTES_MAX = 64 * 1024, PAIRS_MAX = 64, NAMES_BYTES_MAX = 512 };

static int compare(struct weir_sv x, struct weir_sv y)
{
    size_t n = x.n < y.n ? x.n : y.n;
    int d = n == 0 ? 0 : memcmp(x.p, y.p, n);
    return d != 0 ? d : x.n < y.n ? -1 : x.n > y.n ? 1 : 0;
}

/* By name, then by value. */
static int compare_pairs(const void *a, const void *b)
{
    struct weir_sv x = *(const struct weir_sv *)a;
    struct weir_sv y = *(const struct weir_sv *)b;
    int d = compare(weir_sv_cut(&x, '='), weir_sv_cut(&y, '='));
    return d != 0 ? d : compare(x, y);
}

/* The query's pairs in order; a name alone gets its '='. They are encoded already. */
static int add_query(struct weir_str *s, struct weir_sv query, struct weir_err *err)
{
    struct weir_sv pair[PAIRS_MAX] = {{0}};
    size_t n = 0;
    while (query.n > 0) {
        if (n == PAIRS_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "a query of more than %d parts cannot be signed", PAIRS_MAX);
        }
        pair[n++] = weir_sv_cut(&query, '&');
    }
    qsort(pair, n, sizeof *pair, compare_pairs);
    for (size_t i = 0; i < n; i++) {
        weir_str_adds(s, i > 0 ? "&" : "");
        weir_str_add(s, pair[i].p, pair[i].n);
        weir_str_adds(s, memchr(pair[i].p, '=', pair[i].n) == NULL ? "=" : "");
    }
    return 0;
}

static int compare_headers(const void *a, const void *b)
{
    return strcasecmp(((const struct weir_http_header *)a)->name, ((const struct weir_http_header *)b)->name);
}

static void add_lower(struct weir_str *s, const char *name)
{
    for (; *name != '\0'; name++) {
        weir_str_addc(s, (char)(*name >= 'A' && *name <= 'Z' ? *name + ('a' - 'A') : *name));
    }
}

/* Trimmed, with runs of spaces made one. */
static void add_value(struct weir_str *s, const char *value)
{
    struct weir_sv v = weir_sv_trim(weir_sv_of(value));
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] != ' ' || i == 0 || v.p[i - 1] != ' ') {
            weir_str_addc(s, v.p[i]);
        }
    }
}

/* Lines of the headers, in order; their names go to names. */
static void add_headers(struct weir_str *s, struct weir_str *names, struct weir_http_header *header, size_t n)
{
    qsort(header, n, sizeof *header, compare_headers);
    for (size_t i = 0; i < n; i++) {
        weir_str_adds(names, i > 0 ? ";" : "");
        add_lower(names, header[i].name);
        add_lower(s, header[i].name);
        weir_str_addc(s, ':');
        add_value(s, header[i].value);
        weir_str_addc(s, '\n');
    }
    weir_str_addc(s, '\n');
}

static void sign_text(const struct weir_sigv4_key *key, const char *date, const char *region, const char *service, const char *text,
                      char ret[static WEIR_SHA256_HEX_SIZE])
{
    const struct weir_sv steps[] = {weir_sv_of(date), weir_sv_of(region), weir_sv_of(service), WEIR_SV("aws4_request"), weir_sv_of(text)};
    unsigned char k[WEIR_SHA256_BYTES];
    char first[sizeof key->secret + 4];
    (void)snprintf(first, sizeof first, "AWS4%s", key->secret);
    struct weir_sv with = weir_sv_of(first);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++) {
        weir_hmac_sha256(with, steps[i], k);
        with = (struct weir_sv){(const char *)k, sizeof k};
    }
    weir_hex(k, sizeof k, ret);
    explicit_bzero(first, sizeof first);
    explicit_bzero(k, sizeof k);
}

static int write_canonical(const struct weir_http_call *call, struct weir_http_header *header, size_t n, struct weir_sv path_and_query,
                           struct weir_str *s, struct weir_str *names, struct weir_err *err)
{
    char sum[WEIR_SHA256_HEX_SIZE];
    struct weir_sv query = path_and_query;
    struct weir_sv path = weir_sv_cut(&query, '?');
    weir_str_addf(s, "%s\n%.*s\n", call->method, WEIR_SV_ARG(path.n == 0 ? WEIR_SV("/") : path));
    int r = add_query(s, query, err);
    weir_str_addc(s, '\n');
    add_headers(s, names, header, n);
    weir_sha256_hex(call->body, sum);
    weir_str_addf(s, "%s\n%s", weir_str_cstr(names), sum);
    if (r == 0 && (s->overflowed || names->overflowed)) {
        r = weir_fail(err, -WEIR_EINVAL, "a request this large cannot be signed");
    }
    return r;
}

int weir_sigv4_sign(const struct weir_sigv4_key *key, const char *region, const char *service, const struct weir_http_call *call,
                    struct weir_wall now, struct weir_cloud_headers *h, struct weir_err *err)
{
    struct weir_sv rest = weir_sv_of(call->url);
    const char *host_at = strstr(call->url, "://");
    if (host_at == NULL || call->n_headers > WEIR_CLOUD_HEADERS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "this request cannot be signed");
    }
    int r = weir_gnutls_init(err);
    if (r < 0) {
        return r;
    }
    rest.p = host_at + 3;
    rest.n = strlen(rest.p);
    size_t host_n = strcspn(rest.p, "/?");
    char host[256];
    (void)snprintf(host, sizeof host, "%.*s", (int)host_n, rest.p);
    struct weir_date d = weir_wall_to_date(now);
    char stamp[32];
    char date[16];
    (void)snprintf(date, sizeof date, "%04d%02d%02d", d.year % 10000, d.month, d.day);
    (void)snprintf(stamp, sizeof stamp, "%sT%02d%02d%02dZ", date, d.hour, d.minute, d.second);

    struct weir_http_header header[WEIR_CLOUD_HEADERS_MAX + 3];
    size_t n = call->n_headers;
    if (n > 0) {
        memcpy(header, call->header, n * sizeof *header);
    }
    header[n++] = (struct weir_http_header){"Host", host};
    header[n++] = (struct weir_http_header){"X-Amz-Date", stamp};
    weir_cloud_headers_add(h, "X-Amz-Date", stamp);
    if (key->token[0] != '\0') {
        header[n++] = (struct weir_http_header){"X-Amz-Security-Token", key->token};
        weir_cloud_headers_add(h, "X-Amz-Security-Token", key->token);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str canonical = WEIR_STR_INIT(CANONICAL_BYTES_MAX);
    WEIR_CLEANUP(weir_str_release) struct weir_str names = WEIR_STR_INIT(NAMES_BYTES_MAX);
    r = write_canonical(call, header, n, (struct weir_sv){rest.p + host_n, rest.n - host_n}, &canonical, &names, err);
    if (r < 0) {
        return r;
    }
    char sum[WEIR_SHA256_HEX_SIZE];
    char text[256];
    char signature[WEIR_SHA256_HEX_SIZE];
    weir_sha256_hex(weir_str_sv(&canonical), sum);
    (void)snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", stamp, date, region, service, sum);
    sign_text(key, date, region, service, text, signature);
    WEIR_CLEANUP(weir_str_release) struct weir_str value = WEIR_STR_INIT(2048);
    weir_str_addf(&value, "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=%s, Signature=%s", key->id, date, region, service,
                  weir_str_cstr(&names), signature);
    weir_cloud_headers_add(h, "Authorization", weir_str_cstr(&value));
    return 0;
}
