/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/paperspace/paperspace.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cloud/rest.h"
#include "cloud/section.h"
#include "net/uri.h"

enum {
    DISK_GB = 100,
    SCRIPT_BYTES_MAX = 64 << 10,
    VISIBLE_WITHIN_S = 30,
    PAGE_ITEMS = 120, /* the most that Paperspace gives */
    ID_SIZE = 64,     /* of templates, networks and scripts */
    SWEEP_POLLS = 20, /* shortest times between two lists of machines that lie between two looks at the scripts */
    SCRIPTS_MAX = 2000,
    SCRIPT_PAGES_MAX = 100,
    STOCK_FAILURES_MAX = 3,
};

static const uint32_t disk_sizes[] = {50, 100, 250, 500, 1000, 2000};

/* The catalogue's names of regions, and Paperspace's own. */
static const struct {
    const char *region;
    const char *name;
} regions[] = {{"ny2", "East Coast (NY2)"}, {"ca1", "West Coast (CA1)"}, {"ams1", "Europe (AMS1)"}};

struct script_id {
    char v[ID_SIZE];
};

struct paperspace {
    char template[ID_SIZE];
    json_t *templates; /* by machine type, before template; NULL: none */
    char network[ID_SIZE];
    char public_ip[16];
    uint32_t disk_gb;
    struct weir_rest_boot boot;
    size_t asked;          /* row of the catalogue whose stock is asked for */
    unsigned stock_failed; /* of this round */
    /* the sweep of scripts */
    struct weir_mono swept; /* began; 0: never yet */
    unsigned pages;
    bool sweeping;
    WEIR_VEC(struct script_id) idle;     /* that no machine needed at the last look */
    WEIR_VEC(struct script_id) idle_now; /* at the one under way */
};

static const char where[] = "paperspace";
static const char *const keys[] = {WEIR_REST_KEYS, WEIR_REST_BOOT_KEYS, "template", "templates", "network", "public_ip", "disk_gb", NULL};
static const char *const key_env[] = {"PAPERSPACE_API_KEY", NULL};
static const char *const key_files[] = {"~/.paperspace/config.json", NULL};

/* ---- configuration ---- */

static bool is_id(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return n > 0 && n < ID_SIZE && s[n] == '\0';
}

static int read_templates(struct paperspace *own, const json_t *section, struct weir_err *err)
{
    const json_t *templates = json_object_get(section, "templates");
    const char *type;
    json_t *id;
    int r = weir_section_text(section, where, "template", own->template, sizeof own->template, err);
    if (r < 0) {
        return r;
    }
    if (!is_id(own->template)) {
        return weir_section_bad(err, where, "template", "must be given: the id of a template with the GPU's driver (weir makes machines from it)");
    }
    if (templates != NULL && !json_is_object(templates)) {
        return weir_section_bad(err, where, "templates", "must be a mapping of machine types to ids of templates");
    }
    json_object_foreach((json_t *)(uintptr_t)templates, type, id)
    {
        if (!json_is_string(id) || !is_id(json_string_value(id))) {
            char key[96];
            (void)snprintf(key, sizeof key, "templates.%.64s", type);
            return weir_section_bad(err, where, key, "must be the id of a template");
        }
    }
    own->templates = json_deep_copy(templates);
    return 0;
}

static int read_machine(struct paperspace *own, const json_t *section, struct weir_err *err)
{
    int r = weir_section_text(section, where, "network", own->network, sizeof own->network, err);
    r = r < 0 ? r : weir_section_text(section, where, "public_ip", own->public_ip, sizeof own->public_ip, err);
    r = r < 0 ? r : weir_section_u32(section, where, "disk_gb", 1, 2000, &own->disk_gb, err);
    if (r < 0) {
        return r;
    }
    if (own->network[0] != '\0' && !is_id(own->network)) {
        return weir_section_bad(err, where, "network", "must be the id of a private network");
    }
    if (!weir_streq(own->public_ip, "dynamic") && !weir_streq(own->public_ip, "none")) {
        return weir_section_bad(err, where, "public_ip", "must be dynamic or none");
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(disk_sizes); i++) {
        if (own->disk_gb == disk_sizes[i]) {
            return 0;
        }
    }
    return weir_section_bad(err, where, "disk_gb", "must be 50, 100, 250, 500, 1000 or 2000");
}

static void release(struct paperspace *own)
{
    json_decref(own->templates);
    weir_rest_boot_release(&own->boot);
    weir_vec_release(&own->idle);
    weir_vec_release(&own->idle_now);
    free(own);
}

static int paperspace_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    (void)cloud;
    struct paperspace *own = weir_alloc(sizeof *own);
    *own = (struct paperspace){.disk_gb = DISK_GB, .public_ip = "dynamic"};
    int r = read_templates(own, section, err);
    r = r < 0 ? r : read_machine(own, section, err);
    r = r < 0 ? r : weir_rest_boot_read(&own->boot, section, where, err);
    if (r < 0) {
        release(own);
        return r;
    }
    p->own = own;
    return 0;
}

static void paperspace_close(struct weir_provider *p)
{
    release(p->own);
}

/* ---- what answers mean ---- */

static bool says(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcasestr(text, *words) != NULL) {
            return true;
        }
    }
    return false;
}

/* Paperspace has no codes for stock and limits: its sentences are all there is. */
static void paperspace_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    static const char *const no_capacity[] = {"capacity", "not available", "unavailable", "no available", NULL};
    static const char *const quota[] = {"limit", "quota", "requires approval", "not approved", "payment", "credit card", NULL};
    (void)ctx;
    if (reply->status < 400 || reply->body.n == 0) {
        return;
    }
    json_t *body = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    const char *message = weir_rest_text(body, "message");
    (void)snprintf(v->code, sizeof v->code, "%.63s", weir_rest_text(body, "code"));
    if (message[0] != '\0') {
        (void)snprintf(v->text, sizeof v->text, "%.40s: %.200s", v->code, message);
    }
    if (v->class == WEIR_PROVIDER_REFUSED && reply->status != 401 && reply->status != 404) {
        if (says(message, no_capacity)) {
            v->class = WEIR_PROVIDER_NO_CAPACITY;
        } else if (reply->status == 402 || says(message, quota)) {
            v->class = WEIR_PROVIDER_QUOTA;
        }
    }
    json_decref(body);
}

/* ---- machines ---- */

static void add_list_url(const struct weir_provider *p, const char *what, const char *page, struct weir_str *url)
{
    weir_str_addf(url, "%s/v1/%s?limit=%d&orderBy=dtCreated&order=asc", p->conf.endpoint, what, PAGE_ITEMS);
    if (page[0] != '\0') {
        weir_str_adds(url, "&after=");
        weir_uri_encode(url, weir_sv_of(page));
    }
}

/* What every list has. *ret_next is "" at its end. */
static int read_page(const json_t *body, const json_t **ret_items, const char **ret_next, struct weir_err *err)
{
    const json_t *more = json_object_get(body, "hasMore");
    *ret_items = json_object_get(body, "items");
    *ret_next = json_is_true(more) ? weir_rest_text(body, "nextPage") : "";
    if (!json_is_array(*ret_items) || !json_is_boolean(more)) {
        return weir_fail(err, -WEIR_EIO, "a list without 'items' or 'hasMore'");
    }
    if (json_is_true(more) && (*ret_next)[0] == '\0') {
        return weir_fail(err, -WEIR_EIO, "a list that has more does not name its next page");
    }
    return 0;
}

static void paperspace_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    q->what = "list machines";
    q->method = "GET";
    add_list_url(p, "machines", page, &q->url);
}

static bool read_machine_of(const json_t *o, struct weir_rest_machine *m)
{
    static const struct {
        const char *state;
        enum weir_instance_state is;
        bool dead;
    } rows[] = {
        {"provisioning", WEIR_INSTANCE_PENDING, false}, {"starting", WEIR_INSTANCE_PENDING, false}, {"serviceready", WEIR_INSTANCE_PENDING, false},
        {"ready", WEIR_INSTANCE_RUNNING, false},        {"restarting", WEIR_INSTANCE_RUNNING, false}, {"upgrading", WEIR_INSTANCE_RUNNING, false},
        {"stopping", WEIR_INSTANCE_STOPPING, false},    {"off", WEIR_INSTANCE_STOPPING, true},
    };
    const char *state = weir_rest_text(o, "state");
    const char *id = weir_rest_text(o, "id");
    const char *name = weir_rest_text(o, "name");
    *m = (struct weir_rest_machine){.state = WEIR_INSTANCE_PENDING, .launched = weir_rest_time(o, "dtCreated")};
    if (!is_id(id)) {
        return false;
    }
    (void)snprintf(m->id, sizeof m->id, "%s", id);
    (void)snprintf(m->name, sizeof m->name, "%s", strlen(name) < sizeof m->name ? name : ""); /* a longer one is not ours */
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_streq(rows[i].state, state)) {
            m->state = rows[i].is;
            m->dead = rows[i].dead;
        }
    }
    if (weir_rest_text(o, "dtDeleted")[0] != '\0') {
        m->state = WEIR_INSTANCE_GONE;
        m->dead = false;
    }
    return true;
}

static int paperspace_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    const json_t *items;
    const char *next;
    (void)p;
    int r = read_page(body, &items, &next, err);
    for (size_t i = 0; r == 0 && i < json_array_size(items); i++) {
        struct weir_rest_machine m;
        r = read_machine_of(json_array_get(items, i), &m) ? weir_rest_list_add(l, &m, err) : weir_fail(err, -WEIR_EIO, "a machine without an id");
    }
    return r < 0 ? r : weir_rest_list_next(l, next, err);
}

/* ---- launch: first the script, then the machine ---- */

static int paperspace_prepare(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err)
{
    const struct paperspace *own = p->own;
    WEIR_CLEANUP(weir_str_release) struct weir_str script = {0};
    int r = weir_rest_boot_script(p, &own->boot, l, SCRIPT_BYTES_MAX, &script, err);
    if (r < 0) {
        return r;
    }
    q->what = "create startup script";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/v1/startup-scripts", p->conf.endpoint);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", name);
    weir_json_kv_cstr(&j, "script", weir_str_cstr(&script));
    weir_json_kv_bool(&j, "isRunOnce", true);
    weir_json_kv_bool(&j, "isEnabled", true);
    weir_json_end(&j);
    return 0;
}

static int paperspace_on_prepared(struct weir_provider *p, const json_t *body, struct weir_rest_request *first, struct weir_rest_request *launch,
                                  struct weir_err *err)
{
    (void)p;
    (void)first;
    const char *id = weir_rest_text(body, "id");
    if (!is_id(id)) {
        return weir_fail(err, -WEIR_EIO, "a new startup script without an id");
    }
    weir_rest_body_set(launch, NULL, "startupScriptId", id);
    return 0;
}

static const char *template_of(const struct paperspace *own, const char *type)
{
    const char *id = json_string_value(json_object_get(own->templates, type));
    return id != NULL ? id : own->template;
}

/* Paperspace's own name of the region; NULL where it has none of that name. */
static const char *region_name(const char *region)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(regions); i++) {
        if (weir_streq(regions[i].region, region)) {
            return regions[i].name;
        }
    }
    return NULL;
}

static int paperspace_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err)
{
    const struct paperspace *own = p->own;
    const char *region = region_name(l->offer->region);
    if (region == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "'%s' is not a region of Paperspace; there are ny2, ca1 and ams1", l->offer->region);
    }
    q->what = "create machine";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/v1/machines", p->conf.endpoint);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", name);
    weir_json_kv_cstr(&j, "machineType", l->offer->instance_type);
    weir_json_kv_cstr(&j, "templateId", template_of(own, l->offer->instance_type));
    weir_json_kv_cstr(&j, "region", region);
    weir_json_kv_u64(&j, "diskSize", own->disk_gb);
    weir_json_kv_cstr(&j, "publicIpType", own->public_ip);
    if (own->network[0] != '\0') {
        weir_json_kv_cstr(&j, "networkId", own->network);
    }
    if (l->offer->gpus == 8) { /* the machines of eight are the ones with NVLink */
        weir_json_kv_bool(&j, "enableNvlink", true);
    }
    weir_json_kv_bool(&j, "startOnCreate", true);
    weir_json_kv_bool(&j, "autoSnapshotEnabled", false);
    weir_json_kv_bool(&j, "emailPassword", false);
    weir_json_end(&j);
    return 0;
}

static int paperspace_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret,
                                struct weir_rest_request *q, struct weir_cloud_verdict *v, struct weir_err *err)
{
    (void)p;
    (void)name;
    (void)q;
    (void)v;
    const json_t *machine = json_object_get(body, "data"); /* beside the event; some answers are the machine itself */
    return read_machine_of(machine != NULL ? machine : body, ret) ? 0 : weir_fail(err, -WEIR_EIO, "a new machine without an id");
}

static void paperspace_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    q->what = "delete machine";
    q->method = "DELETE";
    weir_str_addf(&q->url, "%s/v1/machines/%s", p->conf.endpoint, id);
}

/* ---- offers: the catalogue's prices, and Paperspace's word, type by type, whether there is stock ---- */

/* The first row at or after i whose stock is of use; the number of rows where there is none. */
static size_t next_row(const struct weir_provider *p, size_t i, const struct weir_offer **ret)
{
    size_t n;
    const struct weir_offer *row = weir_rest_catalogue(p, &n);
    for (; i < n; i++) {
        bool fits = p->conf.gpus_max == 0 || row[i].gpus <= p->conf.gpus_max;
        if (row[i].market == WEIR_OFFER_ON_DEMAND && fits && region_name(row[i].region) != NULL && weir_rest_region_is_wanted(p, row[i].region)) {
            break;
        }
    }
    *ret = i < n ? &row[i] : NULL;
    return i < n ? i : n;
}

/* Without any row one type is asked for all the same: it shows whether the key is good. */
static void paperspace_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    struct paperspace *own = p->own;
    const struct weir_offer *row;
    own->stock_failed = page[0] == '\0' ? 0 : own->stock_failed;
    own->asked = next_row(p, page[0] == '\0' ? 0 : own->asked, &row);
    q->what = "look at the stock";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/v1/machine-availability?machineType=", p->conf.endpoint);
    weir_uri_encode(&q->url, weir_sv_of(row == NULL ? "A100-80G" : row->instance_type));
    weir_str_adds(&q->url, "&region=");
    weir_uri_encode(&q->url, weir_sv_of(row == NULL ? regions[0].name : region_name(row->region)));
}

/* Offers the row that was asked for, where it can be had, and goes on to the next. */
static void settle_row(struct weir_provider *p, struct weir_rest_offers *l, bool available)
{
    struct paperspace *own = p->own;
    const struct weir_offer *row;
    size_t at = next_row(p, own->asked, &row);
    if (row != NULL && at == own->asked && available) {
        struct weir_offer o = *row;
        weir_rest_offers_add(l, &o);
    }
    own->asked++;
    (void)next_row(p, own->asked, &row);
    if (row != NULL) {
        weir_rest_offers_next(l, "next");
    }
}

static int paperspace_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    const json_t *available = json_object_get(body, "available");
    if (!json_is_boolean(available)) {
        return weir_fail(err, -WEIR_EIO, "an answer about stock without 'available'");
    }
    settle_row(p, l, json_is_true(available));
    return 0;
}

/* What is not known of one type stands in no other's way: a launch will tell. */
static bool paperspace_on_prices_failed(struct weir_provider *p, struct weir_rest_offers *l)
{
    struct paperspace *own = p->own;
    if (++own->stock_failed > STOCK_FAILURES_MAX) {
        return false;
    }
    settle_row(p, l, true);
    return true;
}

/* ---- the sweep of scripts: each has a join token in it, and none is needed after its machine ---- */

static void on_scripts(void *ctx, const struct weir_cloud_answer *a);

static void on_script_deleted(void *ctx, const struct weir_cloud_answer *a)
{
    (void)ctx; /* what is still there is seen to by the next sweep */
    (void)a;
}

static void ask_scripts(struct weir_provider *p, const char *page)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str url = WEIR_STR_INIT(WEIR_REST_URL_SIZE);
    struct paperspace *own = p->own;
    add_list_url(p, "startup-scripts", page, &url);
    struct weir_cloud_request r = {.what = "list startup scripts", .kind = WEIR_CLOUD_READ, .method = "GET", .url = weir_str_cstr(&url), .reply_bytes_max = 16 << 20};
    own->sweeping = weir_cloud_send(p->cloud, &r, on_scripts, NULL, p) == 0;
}

static void delete_script(struct weir_provider *p, const char *id)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str url = WEIR_STR_INIT(WEIR_REST_URL_SIZE);
    weir_str_addf(&url, "%s/v1/startup-scripts/%s", p->conf.endpoint, id);
    struct weir_cloud_request r = {.what = "delete startup script", .kind = WEIR_CLOUD_REPEAT, .method = "DELETE", .url = weir_str_cstr(&url)};
    (void)weir_cloud_send(p->cloud, &r, on_script_deleted, NULL, p);
}

/* A script that no machine needs at two looks in a row goes. At one look its machine may be too young to be seen. */
static void look_at_script(struct weir_provider *p, const json_t *script)
{
    struct paperspace *own = p->own;
    const char *id = weir_rest_text(script, "id");
    const char *name = weir_rest_text(script, "name");
    if (!is_id(id) || !weir_rest_is_ours(p, name) || weir_rest_is_needed(p, name) || own->idle_now.n == SCRIPTS_MAX) {
        return;
    }
    for (size_t i = 0; i < own->idle.n; i++) {
        if (weir_streq(own->idle.p[i].v, id)) {
            delete_script(p, id);
            return;
        }
    }
    struct script_id idle;
    (void)snprintf(idle.v, sizeof idle.v, "%s", id);
    weir_vec_push(&own->idle_now, idle);
}

static void on_scripts(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct paperspace *own = p->own;
    const json_t *items;
    const char *next = "";
    own->sweeping = false;
    json_t *body = a->class == WEIR_PROVIDER_OK ? json_loadb(a->body.p, a->body.n, 0, NULL) : NULL;
    if (read_page(body, &items, &next, NULL) == 0) {
        for (size_t i = 0; i < json_array_size(items); i++) {
            look_at_script(p, json_array_get(items, i));
        }
        if (next[0] != '\0' && ++own->pages < SCRIPT_PAGES_MAX) {
            ask_scripts(p, next);
        }
    }
    json_decref(body);
    if (!own->sweeping) {
        own->idle.n = 0;
        for (size_t i = 0; i < own->idle_now.n; i++) {
            weir_vec_push(&own->idle, own->idle_now.p[i]);
        }
    }
}

static void paperspace_settled(struct weir_provider *p)
{
    struct paperspace *own = p->own;
    struct weir_mono now = weir_clock_mono(p->env->clock);
    if (!own->sweeping && (own->swept.us == 0 || now.us - own->swept.us >= SWEEP_POLLS * p->conf.poll.us)) {
        own->swept = now;
        own->pages = 0;
        own->idle_now.n = 0;
        ask_scripts(p, "");
    }
}

/* ---- the tables ---- */

static const struct weir_rest_read reads[] = {
    {"a user who may see startup scripts", "/v1/startup-scripts?limit=1", "what machines do first", true},
    {0},
};

static const struct weir_rest_ops paperspace_rest = {
    .endpoint = "https://api.paperspace.com",
    .key_env = key_env,
    .key_files = key_files,
    .key_member = "apiKey",
    .keys = keys,
    .per_second = 2,
    .burst = 10,
    .poll = {10 * WEIR_US_PER_S},
    .prices_every = {600 * WEIR_US_PER_S},
    .open = paperspace_open,
    .close = paperspace_close,
    .prepare = paperspace_prepare,
    .on_prepared = paperspace_on_prepared,
    .settled = paperspace_settled,
    .list = paperspace_list,
    .on_list = paperspace_on_list,
    .launch = paperspace_launch,
    .on_launch = paperspace_on_launch,
    .terminate = paperspace_terminate,
    .prices = paperspace_prices,
    .on_prices = paperspace_on_prices,
    .on_prices_failed = paperspace_on_prices_failed,
    .zone = weir_rest_zone_is_region,
    .reads = reads,
    .rights = "whether the key's user may make and delete machines: Paperspace tells nobody the rights of a key. The first launch shows it",
    .classify = paperspace_classify,
};

static int paperspace_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &paperspace_rest, &weir_paperspace_provider, env, conf, err);
}

const struct weir_provider_ops weir_paperspace_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "paperspace",
    .caps = 0,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .init = paperspace_init,
    .fini = weir_rest_fini,
    .offers = weir_rest_offers,
    .prices_anew = weir_rest_prices_anew,
    .launch = weir_rest_launch,
    .describe = weir_rest_describe,
    .list = weir_rest_list,
    .terminate = weir_rest_terminate,
    .check = weir_rest_check,
};
