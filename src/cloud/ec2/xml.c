/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/ec2/xml.h"

#include <expat.h>
#include <pthread.h>
#include <string.h>

#include "net/library.h"

#define EXPAT_FUNCTIONS(X) \
    X(XML_ErrorString) \
    X(XML_GetErrorCode) \
    X(XML_Parse) \
    X(XML_ParserCreate) \
    X(XML_ParserFree) \
    X(XML_SetCharacterDataHandler) \
    X(XML_SetElementHandler) \
    X(XML_SetStartDoctypeDeclHandler) \
    X(XML_SetUserData) \
    X(XML_StopParser)

static struct {
    EXPAT_FUNCTIONS(WEIR_LIBRARY_MEMBER)
} expat;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct weir_err why;
static int loaded;

static void load(void)
{
    static const char *const names[] = {"libexpat.so.1", NULL};
#define ROW(f) {#f, &expat.f},
    static const struct weir_symbol symbols[] = {EXPAT_FUNCTIONS(ROW)};
    loaded = weir_library_load(names, symbols, WEIR_ARRAY_LEN(symbols), &why);
}

struct reader {
    XML_Parser parser;
    struct weir_arena *arena;
    struct weir_xml *open[WEIR_XML_DEPTH_MAX]; /* from the root to the one that is read */
    struct weir_xml *last[WEIR_XML_DEPTH_MAX]; /* child of each */
    size_t depth;
    size_t elements;
    const struct weir_xml *root;
    struct weir_str text; /* since the last tag */
    const char *refused;  /* static; NULL: fine */
};

static void stop(struct reader *r, const char *reason)
{
    r->refused = reason;
    (void)expat.XML_StopParser(r->parser, XML_FALSE);
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = ctx;
    (void)attributes;
    if (r->depth == WEIR_XML_DEPTH_MAX || ++r->elements > WEIR_XML_ELEMENTS_MAX) {
        stop(r, "it is too large");
        return;
    }
    struct weir_xml *x = weir_arena_alloc(r->arena, sizeof *x);
    x->name = weir_arena_strndup(r->arena, name, strlen(name));
    x->text = "";
    if (r->depth == 0) {
        r->root = x;
    } else if (r->last[r->depth - 1] == NULL) {
        r->open[r->depth - 1]->first = x;
        r->last[r->depth - 1] = x;
    } else {
        r->last[r->depth - 1]->next = x;
        r->last[r->depth - 1] = x;
    }
    r->last[r->depth] = NULL;
    r->open[r->depth++] = x;
    weir_str_clear(&r->text);
}

static void on_end(void *ctx, const XML_Char *name)
{
    struct reader *r = ctx;
    (void)name;
    struct weir_xml *x = r->open[--r->depth];
    if (x->first == NULL) {
        struct weir_sv text = weir_sv_trim(weir_str_sv(&r->text));
        x->text = text.n == 0 ? "" : weir_arena_strndup(r->arena, text.p, text.n);
    }
    weir_str_clear(&r->text);
}

static void on_text(void *ctx, const XML_Char *p, int n)
{
    struct reader *r = ctx;
    weir_str_add(&r->text, p, (size_t)n);
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *system, const XML_Char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    stop(ctx, "it declares a document type");
}

int weir_xml_parse(struct weir_sv text, struct weir_arena *arena, const struct weir_xml **ret, struct weir_err *err)
{
    (void)pthread_once(&once, load);
    if (loaded < 0) {
        return weir_fail(err, loaded, "%s", why.text);
    }
    struct reader r = {.parser = expat.XML_ParserCreate(NULL), .arena = arena, .text = WEIR_STR_INIT(64 * 1024)};
    if (r.parser == NULL) {
        return weir_fail(err, -WEIR_ENOMEM, "out of memory for an XML answer");
    }
    expat.XML_SetUserData(r.parser, &r);
    expat.XML_SetElementHandler(r.parser, on_start, on_end);
    expat.XML_SetCharacterDataHandler(r.parser, on_text);
    expat.XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    bool fine = text.n <= INT32_MAX && expat.XML_Parse(r.parser, text.p, (int)text.n, 1) == XML_STATUS_OK && r.root != NULL;
    int rc = 0;
    if (r.text.overflowed) {
        rc = weir_fail(err, -WEIR_ELIMIT, "an XML answer has a text of more than %zu bytes", r.text.max_bytes);
    } else if (!fine) {
        rc = weir_fail(err, -WEIR_EINVAL, "the XML answer cannot be read: %s",
                       r.refused != NULL ? r.refused : expat.XML_ErrorString(expat.XML_GetErrorCode(r.parser)));
    } else {
        *ret = r.root;
    }
    weir_str_release(&r.text);
    expat.XML_ParserFree(r.parser);
    return rc;
}

const struct weir_xml *weir_xml_at(const struct weir_xml *x, const char *path)
{
    struct weir_sv rest = weir_sv_of(path);
    while (x != NULL && rest.p != NULL) {
        struct weir_sv name = weir_sv_cut(&rest, '/');
        x = x->first;
        while (x != NULL && !weir_sv_eq(weir_sv_of(x->name), name)) {
            x = x->next;
        }
    }
    return x;
}

const char *weir_xml_text(const struct weir_xml *x, const char *path)
{
    const struct weir_xml *at = weir_xml_at(x, path);
    return at == NULL ? "" : at->text;
}
