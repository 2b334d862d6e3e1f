/* SPDX-License-Identifier: Apache-2.0 */

#include "invoice.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/money.h"
#include "base/parse.h"
#include "cloud/input.h"

enum { NANO_PLACES = 9 };

/* What a column is for; a format's columns stand in this order. Several formats name one thing in two ways. */
enum part {
    RESOURCE,
    RESOURCE_2,
    KIND,
    FROM,
    TO,
    COST,
    COST_2,
    CREDITS,
    CURRENCY,
    CURRENCY_2,
    TAGS,
    SOLD, /* what was sold: identities go on from here */
    SOLD_2,
    SOLD_3,
    PARTS,
};

struct format {
    const char *name;
    const char *tell; /* the column that only this one has */
    struct weir_input_column column[PARTS];
};

#define NO_COLUMN                                                                                                      \
    {                                                                                                                  \
        "(none)", true                                                                                                 \
    }

enum { AWS, FOCUS, GOOGLE, AZURE };

static const struct format formats[] = {
    [AWS] = {"AWS CUR 2.0",
             "line_item_unblended_cost",
             {[RESOURCE] = {"line_item_resource_id", false},
              [RESOURCE_2] = NO_COLUMN,
              [KIND] = {"line_item_line_item_type", false},
              [FROM] = {"line_item_usage_start_date", false},
              [TO] = {"line_item_usage_end_date", false},
              [COST] = {"line_item_unblended_cost", false},
              [COST_2] = NO_COLUMN,
              [CREDITS] = NO_COLUMN,
              [CURRENCY] = {"line_item_currency_code", false},
              [CURRENCY_2] = NO_COLUMN,
              [TAGS] = {"resource_tags", true},
              [SOLD] = {"line_item_usage_type", true},
              [SOLD_2] = {"line_item_operation", true},
              [SOLD_3] = {"line_item_line_item_description", true}}},
    [FOCUS] = {"FOCUS",
               "BilledCost",
               {[RESOURCE] = {"ResourceId", true},
                [RESOURCE_2] = NO_COLUMN,
                [KIND] = {"ChargeCategory", false},
                [FROM] = {"ChargePeriodStart", false},
                [TO] = {"ChargePeriodEnd", false},
                [COST] = {"BilledCost", false},
                [COST_2] = NO_COLUMN,
                [CREDITS] = NO_COLUMN,
                [CURRENCY] = {"BillingCurrency", false},
                [CURRENCY_2] = NO_COLUMN,
                [TAGS] = {"Tags", true},
                [SOLD] = {"SkuPriceId", true},
                [SOLD_2] = {"ChargeDescription", true},
                [SOLD_3] = {"ChargeClass", true}}},
    [GOOGLE] = {"Google Cloud detailed export",
                "usage_start_time",
                {[RESOURCE] = {"resource.global_name", true},
                 [RESOURCE_2] = {"resource_global_name", true},
                 [KIND] = {"cost_type", true},
                 [FROM] = {"usage_start_time", false},
                 [TO] = {"usage_end_time", false},
                 [COST] = {"cost", false},
                 [COST_2] = NO_COLUMN,
                 [CREDITS] = {"credits", true},
                 [CURRENCY] = {"currency", false},
                 [CURRENCY_2] = NO_COLUMN,
                 [TAGS] = {"labels", true},
                 [SOLD] = {"sku.id", true},
                 [SOLD_2] = {"sku_id", true},
                 [SOLD_3] = {"sku.description", true}}},
    [AZURE] = {"Azure cost export",
               "MeterId",
               {[RESOURCE] = {"ResourceId", true},
                [RESOURCE_2] = {"InstanceId", true},
                [KIND] = {"ChargeType", true},
                [FROM] = {"Date", false},
                [TO] = NO_COLUMN,
                [COST] = {"CostInBillingCurrency", true},
                [COST_2] = {"Cost", true},
                [CREDITS] = NO_COLUMN,
                [CURRENCY] = {"BillingCurrencyCode", true},
                [CURRENCY_2] = {"BillingCurrency", true},
                [TAGS] = {"Tags", true},
                [SOLD] = {"MeterId", false},
                [SOLD_2] = {"MeterName", true},
                [SOLD_3] = {"ReservationId", true}}},
};

struct weir_invoice {
    struct weir_input *in;
    const struct format *format;
    bool is_json;                /* an object a line, as Google's tables are exported */
    json_t *object;              /* of the line */
    struct weir_sv value[PARTS]; /* of its keys; borrowed from it, amounts and lists from the line */
};

void weir_invoice_freep(struct weir_invoice **v)
{
    if (*v != NULL) {
        json_decref((*v)->object);
        weir_input_free((*v)->in);
        free(*v);
    }
}

const char *weir_invoice_format(const struct weir_invoice *v)
{
    return v->format->name;
}

unsigned weir_invoice_permille(const struct weir_invoice *v)
{
    return weir_input_permille(v->in);
}

int weir_invoice_fail(const struct weir_invoice *v, int code, struct weir_err *err)
{
    return weir_input_fail(v->in, code, err);
}

static struct weir_sv field(const struct weir_invoice *v, size_t part)
{
    return v->is_json ? v->value[part] : weir_input_field(v->in, part);
}

static int fail_field(const struct weir_invoice *v, size_t part, int code, struct weir_err *err)
{
    if (!v->is_json) {
        return weir_input_fail_field(v->in, part, code, err);
    }
    weir_fail_prefix(err, code, "key '%s'", v->format->column[part].name);
    return weir_input_fail(v->in, code, err);
}

static bool has_title(struct weir_sv header, const char *name)
{
    while (header.p != NULL) {
        struct weir_sv title = weir_sv_trim(weir_sv_cut(&header, ','));
        if (title.n >= 2 && title.p[0] == '"' && title.p[title.n - 1] == '"') {
            title = (struct weir_sv){title.p + 1, title.n - 2};
        }
        if (weir_sv_eq_nocase(title, weir_sv_of(name))) {
            return true;
        }
    }
    return false;
}

int weir_invoice_open(struct weir_invoice **ret, const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(weir_invoice_freep) struct weir_invoice *v = weir_alloc(sizeof *v);
    struct weir_sv header = {0};
    int r = weir_input_open(&v->in, path, err);
    r = r < 0 ? r : weir_input_peek(v->in, &header, err);
    if (r < 0) {
        return r;
    }
    v->is_json = header.n > 0 && header.p[0] == '{';
    if (v->is_json) {
        v->format = &formats[GOOGLE];
        weir_input_is_lines(v->in);
        *ret = WEIR_TAKE(v);
        return 0;
    }
    if (header.n > 0 && header.p[0] == '[') {
        return weir_fail(err, -WEIR_EINVAL,
                         "%s is a JSON array: export it with an object in each line (newline-delimited JSON)", path);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(formats) && v->format == NULL; i++) {
        v->format = has_title(header, formats[i].tell) ? &formats[i] : NULL;
    }
    if (v->format == NULL) {
        return weir_fail(err, -WEIR_EINVAL,
                         "%s is no bill that is known: its first line names none of the columns "
                         "line_item_unblended_cost (AWS CUR 2.0), "
                         "BilledCost (FOCUS), usage_start_time (Google Cloud), MeterId (Azure)",
                         path);
    }
    r = weir_input_is_table(v->in, ',', v->format->column, PARTS, err);
    if (r < 0) {
        return r;
    }
    *ret = WEIR_TAKE(v);
    return 0;
}

/* ---- values ---- */

/* The first of two columns that has something. */
static size_t either(const struct weir_invoice *v, enum part a, enum part b)
{
    return field(v, a).n > 0 || field(v, b).n == 0 ? (size_t)a : (size_t)b;
}

/*
 * A decimal number, with or without exponent, in billionths; half away from zero, as providers give more places.
 * Nothing floats.
 */
static int parse_nano(struct weir_sv s, int64_t *ret, struct weir_err *err)
{
    struct weir_sv rest = s;
    weir_i128 digits = 0;
    int scale = 0; /* digits x 10^scale */
    bool minus = rest.n > 0 && rest.p[0] == '-';
    bool point = false;
    size_t n = 0;
    size_t i = minus || (rest.n > 0 && rest.p[0] == '+') ? 1 : 0;
    for (; i < rest.n && ((rest.p[i] >= '0' && rest.p[i] <= '9') || (rest.p[i] == '.' && !point)); i++) {
        if (rest.p[i] == '.') {
            point = true;
            continue;
        }
        n++;
        if (digits < (weir_i128)1 << 100) {
            digits = digits * 10 + (rest.p[i] - '0');
            scale -= point;
        } else {
            scale += !point;
        }
    }
    if (n > 0 && i < rest.n && (rest.p[i] == 'e' || rest.p[i] == 'E')) {
        int64_t e = 0;
        struct weir_sv exponent = {rest.p + i + 1, rest.n - i - 1};
        if (exponent.n > 1 && exponent.p[0] == '+') {
            exponent = (struct weir_sv){exponent.p + 1, exponent.n - 1};
        }
        if (weir_parse_i64(exponent, -400, 400, &e, NULL) == 0) {
            scale += (int)e;
            i = rest.n;
        }
    }
    if (n == 0 || i < rest.n) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not an amount", (int)(s.n < 40 ? s.n : 40), s.p);
    }
    for (scale += NANO_PLACES; scale > 0 && digits != 0 && digits < (weir_i128)1 << 100; scale--) {
        digits *= 10;
    }
    bool half = false;
    for (; scale < 0 && (digits != 0 || half); scale++) {
        half = digits % 10 >= 5;
        digits /= 10;
    }
    digits += half;
    if (digits > INT64_MAX / 4 || (scale > 0 && digits != 0)) {
        return weir_fail(err, -WEIR_EOVERFLOW, "'%.*s' is out of range", (int)(s.n < 40 ? s.n : 40), s.p);
    }
    *ret = minus ? -(int64_t)digits : (int64_t)digits;
    return 0;
}

/* "MM/DD/YYYY" as Azure writes it, else as everywhere. */
static int parse_date(struct weir_sv s, struct weir_wall *ret, struct weir_err *err)
{
    struct weir_sv rest = s;
    uint64_t month = 0;
    uint64_t day = 0;
    uint64_t year = 0;
    if (memchr(s.p != NULL ? s.p : "", '/', s.n) == NULL) {
        return weir_parse_time(s, ret, err);
    }
    if (weir_parse_u64(weir_sv_cut(&rest, '/'), 1, 12, &month, NULL) < 0 ||
        weir_parse_u64(weir_sv_cut(&rest, '/'), 1, 31, &day, NULL) < 0 ||
        weir_parse_u64(rest, 1970, 9998, &year, NULL) < 0) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not a date like 11/23/2026", (int)(s.n < 40 ? s.n : 40), s.p);
    }
    *ret = weir_wall_from_date((struct weir_date){.year = (int)year, .month = (int)month, .day = (int)day});
    return 0;
}

/* Times of Google's export may end in " UTC". */
static struct weir_sv without_utc(struct weir_sv s)
{
    return s.n > 4 && memcmp(s.p + s.n - 4, " UTC", 4) == 0 ? (struct weir_sv){s.p, s.n - 4} : s;
}

/* The amounts of a JSON array of credits, which are below 0, as the digits that stand there: no number of it may float.
 */
static int add_credits(struct weir_sv text, int64_t *nano, struct weir_err *err)
{
    static const char key[] = "\"amount\"";
    const char *p = text.p;
    const char *end = text.p + text.n;
    int r = text.p[0] == '[' ? 0 : weir_fail(err, -WEIR_EINVAL, "it is no JSON array of credits");
    while (r == 0 && (p = memmem(p, (size_t)(end - p), key, sizeof key - 1)) != NULL) {
        int64_t credit = 0;
        p += sizeof key - 1;
        while (p < end && (*p == ' ' || *p == ':' || *p == '"')) {
            p++;
        }
        const char *from = p;
        while (p < end && *p != ',' && *p != '}' && *p != '"' && *p != ' ') {
            p++;
        }
        r = parse_nano((struct weir_sv){from, (size_t)(p - from)}, &credit, err);
        *nano = weir_i64_add_sat(*nano, credit);
    }
    return r;
}

static int read_span(const struct weir_invoice *v, struct weir_invoice_line *l, struct weir_err *err)
{
    int r = parse_date(without_utc(field(v, FROM)), &l->from, err);
    if (r < 0) {
        return fail_field(v, FROM, r, err);
    }
    l->to = weir_wall_add(l->from, (struct weir_dur){WEIR_US_PER_DAY});
    if (v->is_json || weir_input_has(v->in, TO)) {
        r = parse_date(without_utc(field(v, TO)), &l->to, err);
        if (r == 0 && l->to.us < l->from.us) {
            r = weir_fail(err, -WEIR_EINVAL, "it ends before it begins");
        }
    }
    return r < 0 ? fail_field(v, TO, r, err) : 0;
}

/* The value of "sku.id": of strings what they say, of all else what stands in the line, so that no number is rounded.
 */
static struct weir_sv value_of(const struct weir_invoice *v, struct weir_sv line, const char *path)
{
    struct weir_sv rest = weir_sv_of(path);
    const json_t *o = v->object;
    while (rest.p != NULL && o != NULL) {
        char key[64];
        struct weir_sv name = weir_sv_cut(&rest, '.');
        (void)snprintf(key, sizeof key, "%.*s", WEIR_SV_ARG(name));
        o = json_object_get(o, key);
        line = weir_json_find(line, key);
    }
    if (o == NULL || json_is_null(o)) {
        return (struct weir_sv){0};
    }
    return json_is_string(o) ? (struct weir_sv){json_string_value(o), json_string_length(o)} : line;
}

static int read_object(struct weir_invoice *v, struct weir_err *err)
{
    json_error_t why;
    struct weir_sv line = weir_input_field(v->in, 0);
    json_decref(v->object);
    v->object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(v->object)) {
        weir_fail(err, -WEIR_EINVAL, "column %d: it is no JSON object: %s", v->object == NULL ? why.column : 1,
                  v->object == NULL ? why.text : "another value");
        return weir_input_fail(v->in, -WEIR_EINVAL, err);
    }
    for (size_t i = 0; i < PARTS; i++) {
        const struct weir_input_column *c = &v->format->column[i];
        v->value[i] = value_of(v, line, c->name);
        if (v->value[i].n == 0 && !c->optional) {
            return fail_field(
                v, i, weir_fail(err, -WEIR_EINVAL, "it is missing: is this Google Cloud's detailed billing export?"),
                err);
        }
    }
    return 1;
}

int weir_invoice_next(struct weir_invoice *v, struct weir_invoice_line *ret, struct weir_err *err)
{
    int r = weir_input_next(v->in, err);
    r = r > 0 && v->is_json ? read_object(v, err) : r;
    if (r <= 0) {
        return r;
    }
    struct weir_invoice_line l = {
        .resource = field(v, either(v, RESOURCE, RESOURCE_2)),
        .kind = field(v, KIND),
        .currency = field(v, either(v, CURRENCY, CURRENCY_2)),
        .tags = field(v, TAGS),
    };
    size_t cost = either(v, COST, COST_2);
    r = parse_nano(field(v, cost), &l.nano, err);
    if (r < 0) {
        return fail_field(v, cost, r, err);
    }
    struct weir_sv credits = field(v, CREDITS);
    r = credits.n > 0 ? add_credits(credits, &l.nano, err) : 0;
    if (r < 0) {
        return fail_field(v, CREDITS, r, err);
    }
    r = read_span(v, &l, err);
    if (r < 0) {
        return r;
    }
    l.identity = weir_fnv_bytes(WEIR_FNV_BASIS, l.resource.p, l.resource.n);
    l.identity = weir_fnv_u64(weir_fnv_u64(l.identity, (uint64_t)l.from.us), (uint64_t)l.to.us);
    l.identity = weir_fnv_bytes(l.identity, l.kind.p, l.kind.n);
    for (int i = SOLD; i < PARTS; i++) {
        struct weir_sv sold = field(v, (size_t)i);
        l.identity = weir_fnv_byte(weir_fnv_bytes(l.identity, sold.p, sold.n), 0);
    }
    *ret = l;
    return 1;
}
