/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What net itself reads: request targets, listen addresses, URLs, answers. The first byte says which one the
 * rest is given to. Promises checked: buffers of exactly the promised size suffice, whatever is
 * accepted holds no "..", no control character and no NUL in its path, and an accepted address is
 * written back and read again to the same.
 */

#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/address.h"
#include "net/plain_wire.h"
#include "net/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
    WEIR_ASSERT(path[0] == '/' || weir_streq(path, "*"));
    struct weir_sv rest = weir_sv_of(path);
    for (size_t i = 0; i < rest.n; i++) {
        unsigned char c = (unsigned char)path[i];
        WEIR_ASSERT(c >= 0x20 && c != 0x7f);
    }
    while (rest.p != NULL) {
        struct weir_sv segment = weir_sv_cut(&rest, '/');
        WEIR_ASSERT(!weir_sv_eq(segment, WEIR_SV("..")) && !weir_sv_eq(segment, WEIR_SV(".")));
    }
}

static void fuzz_uri(struct weir_sv raw)
{
    WEIR_CLEANUP(weir_freep) char *buf = malloc(raw.n + 2);
    struct weir_uri uri;
    const char *why = NULL;
    if (buf == NULL) {
        return;
    }
    if (weir_uri_decode(raw, buf, &uri, &why) < 0) {
        WEIR_ASSERT(why != NULL);
        return;
    }
    check_path(uri.path);
    WEIR_ASSERT(uri.n_query <= WEIR_URI_QUERY_MAX);
    for (size_t i = 0; i < uri.n_query; i++) {
        WEIR_ASSERT(strlen(uri.query[i].key) + strlen(uri.query[i].value) <= raw.n);
    }
}

static void fuzz_address(struct weir_sv text)
{
    struct weir_address a, b;
    struct weir_err err;
    if (weir_address_parse(text, &a, &err) < 0) {
        return;
    }
    char buf[WEIR_ADDRESS_TEXT_SIZE], again[WEIR_ADDRESS_TEXT_SIZE];
    (void)weir_address_format(&a.sa.any, buf);
    WEIR_ASSERT(weir_address_parse(weir_sv_of(buf), &b, &err) == 0);
    WEIR_ASSERT(weir_streq(buf, weir_address_format(&b.sa.any, again)));
    WEIR_ASSERT(weir_address_is_loopback(&a.sa.any) == weir_address_is_loopback(&b.sa.any));
}

/* Read whole and byte by byte, an answer is the same. */
static void fuzz_answer(struct weir_sv text)
{
    struct weir_answer whole, pieces;
    weir_answer_begin(&whole, "GET", 1000, NULL, NULL);
    weir_answer_begin(&pieces, "GET", 1000, NULL, NULL);
    int r = weir_answer_feed(&whole, text.p, text.n);
    int q = 0;
    for (size_t i = 0; i < text.n && q == 0 && pieces.state != WEIR_ANSWER_DONE; i++) {
        q = weir_answer_feed(&pieces, text.p + i, 1);
    }
    r = r < 0 ? r : weir_answer_end(&whole);
    q = q < 0 ? q : weir_answer_end(&pieces);
    WEIR_ASSERT(r == q && (r == 0 || whole.why != NULL));
    WEIR_ASSERT(whole.state != WEIR_ANSWER_DONE || weir_str_cstr(&whole.body)[0] == weir_str_cstr(&pieces.body)[0]);
    WEIR_ASSERT(r < 0 || (whole.status >= 200 && whole.status == pieces.status && whole.body.n == pieces.body.n));
    weir_answer_release(&whole);
    weir_answer_release(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 64 * 1024) {
        return 0;
    }
    /* A copy of the exact size: reads past the end are seen. */
    size_t n = size - 1;
    WEIR_CLEANUP(weir_freep) char *copy = malloc(n + 1);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data + 1, n);
    copy[n] = 0;
    WEIR_CLEANUP(weir_freep) char *exact = malloc(n == 0 ? 1 : n);
    if (exact == NULL) {
        return 0;
    }
    memcpy(exact, copy, n);
    struct weir_sv text = {exact, n};
    if (data[0] == 'h') {
        fuzz_answer(text);
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        fuzz_uri(text);
        break;
    case 1:
        fuzz_address(text);
        break;
    case 2:
        (void)weir_url_is_loopback(copy);
        (void)weir_url_is_direct(copy);
        break;
    }
    return 0;
}
