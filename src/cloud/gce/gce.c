/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/gce/gce.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "cloud/boot.h"
#include "cloud/checks.h"
#include "cloud/exchange.h"
#include "cloud/gce/auth.h"
#include "cloud/gce/quota.h"
#include "cloud/gce/skus.h"
#include "cloud/rest.h"
#include "cloud/section.h"
#include "net/digest.h"
#include "net/gnutls_lib.h"

#define GCE_ENDPOINT "https://compute.googleapis.com"

enum {
    DISK_GB = 100,
    BOOT_BYTES_MAX = 200 << 10, /* a value of the metadata holds 256 KiB */
    NAME_MAX_BYTES = 63,
    MAX_RUN_DAYS = 7,
    ZONES_MAX = 32,
    VISIBLE_WITHIN_S = 30,
    UUID_SIZE = 37,
};

struct gce {
    struct gce_auth *auth;
    struct gce_skus *skus;
    bool pricing_skus; /* the page of prices under way is one of the price list */
    bool live_prices;
    char prices_endpoint[256];
    char project[64];
    char zone[ZONES_MAX][WEIR_REGION_SIZE]; /* globs; none: all */
    size_t n_zones;
    char image[256];
    char disk_type[32]; /* "": by the type */
    char network[256];
    char subnetwork[256];
    char service_account[128]; /* of the machines; "": none */
    char agent[256];
    char gpus[64];
    uint32_t disk_gb;
    bool external_ip;
    bool spot;
    struct weir_dur max_run;
};

static const char *const keys[] = {"endpoint",    "regions",     "poll",       "prices_every", "max_gpus",        "calls_per_second",
                                   "project",     "zones",       "image",      "disk_gb",      "disk_type",       "network",
                                   "subnetwork",  "external_ip", "spot",       "max_run",      "service_account", "service_account_file",
                                   "agent",       "declare_gpus", "live_prices", "prices_endpoint", NULL};

/* ---- configuration ---- */

static int read_own(struct gce *g, const json_t *section, struct weir_err *err)
{
    static const char where[] = "gcp";
    int r = weir_section_text(section, where, "project", g->project, sizeof g->project, err);
    r = r != 0 ? r : weir_section_names(section, where, "zones", g->zone[0], sizeof g->zone[0], ZONES_MAX, &g->n_zones, err);
    r = r != 0 ? r : weir_section_text(section, where, "image", g->image, sizeof g->image, err);
    r = r != 0 ? r : weir_section_u32(section, where, "disk_gb", 10, 65536, &g->disk_gb, err);
    r = r != 0 ? r : weir_section_text(section, where, "disk_type", g->disk_type, sizeof g->disk_type, err);
    r = r != 0 ? r : weir_section_text(section, where, "network", g->network, sizeof g->network, err);
    r = r != 0 ? r : weir_section_text(section, where, "subnetwork", g->subnetwork, sizeof g->subnetwork, err);
    r = r != 0 ? r : weir_section_bool(section, where, "external_ip", &g->external_ip, err);
    r = r != 0 ? r : weir_section_bool(section, where, "spot", &g->spot, err);
    r = r != 0 ? r : weir_section_duration(section, where, "max_run", &g->max_run, err);
    r = r != 0 ? r : weir_section_text(section, where, "service_account", g->service_account, sizeof g->service_account, err);
    r = r != 0 ? r : weir_section_bool(section, where, "live_prices", &g->live_prices, err);
    r = r != 0 ? r : weir_section_endpoint(section, where, "prices_endpoint", g->prices_endpoint, sizeof g->prices_endpoint, err);
    r = r != 0 ? r : weir_section_text(section, where, "agent", g->agent, sizeof g->agent, err);
    return r != 0 ? r : weir_section_text(section, where, "declare_gpus", g->gpus, sizeof g->gpus, err);
}

static int check_own(struct gce *g, struct weir_err *err)
{
    if (g->project[0] == '\0') {
        (void)snprintf(g->project, sizeof g->project, "%s", gce_auth_project(g->auth));
    }
    if (g->project[0] == '\0' || strspn(g->project, "abcdefghijklmnopqrstuvwxyz0123456789-:.") != strlen(g->project)) {
        return weir_fail(err, -WEIR_ECONFIG, "gcp.project: the id of the project is wanted, such as 'my-project-123'");
    }
    if (strncmp(g->image, "projects/", 9) != 0) {
        return weir_fail(err, -WEIR_ECONFIG,
                         "gcp.image: an image with the GPUs' driver is wanted, as 'projects/PROJECT/global/images/family/FAMILY'; 'gcloud compute images "
                         "list --project deeplearning-platform-release' names some");
    }
    if (g->max_run.us < 60 * WEIR_US_PER_S || g->max_run.us > 120 * WEIR_US_PER_DAY) {
        return weir_fail(err, -WEIR_ECONFIG, "gcp.max_run: must be 1m to 120d");
    }
    return weir_gnutls_init(err);
}

static int gce_sign(void *ctx, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h, const char **ret_bearer,
                    struct weir_err *err)
{
    (void)call;
    (void)now;
    (void)h;
    const struct gce *g = ((struct weir_provider *)ctx)->own;
    *ret_bearer = gce_auth_token(g->auth);
    return *ret_bearer != NULL ? 0 : weir_fail(err, -WEIR_EUNAUTH, "there is no token");
}

static void gce_close(struct weir_provider *p)
{
    struct gce *g = p->own;
    gce_auth_free(g->auth);
    gce_skus_free(g->skus);
    free(g);
}

static int gce_open(struct weir_provider *p, const json_t *section, struct weir_cloud_conf *cloud, struct weir_err *err)
{
    struct gce *g = weir_alloc(sizeof *g);
    *g = (struct gce){.disk_gb = DISK_GB, .external_ip = true, .spot = true, .max_run = weir_dur_s(MAX_RUN_DAYS * INT64_C(86400)),
                      .network = "global/networks/default", .live_prices = true,
                      .prices_endpoint = "https://cloudbilling.googleapis.com", .skus = gce_skus_new()};
    int r = gce_auth_open(&g->auth, p->env, section, err);
    r = r != 0 ? r : read_own(g, section, err);
    r = r != 0 ? r : check_own(g, err);
    p->own = g;
    if (r != 0) {
        gce_close(p);
        return r;
    }
    cloud->sign = gce_sign;
    cloud->credential = gce_auth_credential(g->auth);
    return 0;
}

static void gce_opened(struct weir_provider *p)
{
    struct gce *g = p->own;
    gce_auth_attach(g->auth, p->cloud);
}

/* ---- what answers mean ---- */

struct word {
    const char *code;
    enum weir_provider_class class;
    bool again;
};

/* Of operations and of HTTP answers; what is not here is refused. */
static const struct word words[] = {
    {"ZONE_RESOURCE_POOL_EXHAUSTED", WEIR_PROVIDER_NO_CAPACITY, false},
    {"ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", WEIR_PROVIDER_NO_CAPACITY, false},
    {"RESOURCE_POOL_EXHAUSTED", WEIR_PROVIDER_NO_CAPACITY, false},
    {"REGION_RESOURCE_POOL_EXHAUSTED", WEIR_PROVIDER_NO_CAPACITY, false},
    {"GPU_STOCKOUT", WEIR_PROVIDER_NO_CAPACITY, false},
    {"INSUFFICIENT_CAPACITY", WEIR_PROVIDER_NO_CAPACITY, false},
    {"insufficientCapacity", WEIR_PROVIDER_NO_CAPACITY, false},
    {"UNSUPPORTED_OPERATION", WEIR_PROVIDER_NO_CAPACITY, false},
    {"IP_SPACE_EXHAUSTED", WEIR_PROVIDER_NO_CAPACITY, false},
    {"IP_SPACE_EXHAUSTED_WITH_DETAILS", WEIR_PROVIDER_NO_CAPACITY, false},
    {"QUOTA_EXCEEDED", WEIR_PROVIDER_QUOTA, false},
    {"quotaExceeded", WEIR_PROVIDER_QUOTA, false},
    {"rateLimitExceeded", WEIR_PROVIDER_THROTTLED, true},
    {"userRateLimitExceeded", WEIR_PROVIDER_THROTTLED, true},
    {"RESOURCE_OPERATION_RATE_EXCEEDED", WEIR_PROVIDER_THROTTLED, true},
    {"alreadyExists", WEIR_PROVIDER_UNKNOWN, false}, /* under our name: it is looked at before anything else */
    {"resourceInUseByAnotherResource", WEIR_PROVIDER_UNKNOWN, false},
    {"RESOURCE_NOT_READY", WEIR_PROVIDER_UNKNOWN, true},
    {"resourceNotReady", WEIR_PROVIDER_UNKNOWN, true},
    {"INTERNAL_ERROR", WEIR_PROVIDER_UNKNOWN, true},
    {"backendError", WEIR_PROVIDER_UNKNOWN, true},
    {"internalError", WEIR_PROVIDER_UNKNOWN, true},
};

static void class_of(const char *code, struct weir_cloud_verdict *v)
{
    (void)snprintf(v->code, sizeof v->code, "%s", code);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++) {
        if (weir_streq(words[i].code, code)) {
            v->class = words[i].class;
            v->again = words[i].again;
        }
    }
}

/* A reservation that is used up is told by its text alone. */
static void class_of_reservation(const char *text, struct weir_cloud_verdict *v)
{
    if (strstr(text, "pecified reservation") != NULL && strstr(text, "not have available resources") != NULL) {
        v->class = WEIR_PROVIDER_NO_CAPACITY;
        v->again = false;
    }
}

static void gce_classify(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    if (reply->status < 400 || reply->body.n == 0) {
        return;
    }
    json_t *body = json_loadb(reply->body.p, reply->body.n, 0, NULL);
    json_t *error = json_object_get(body, "error");
    const char *reason = weir_rest_text(json_array_get(json_object_get(error, "errors"), 0), "reason");
    const char *text = json_is_string(error) ? weir_rest_text(body, "error_description") : weir_rest_text(error, "message");
    if (text[0] != '\0') {
        (void)snprintf(v->text, sizeof v->text, "%.240s", text);
    }
    if (json_is_string(error)) { /* the token endpoint: a claim of the wrong hour is the clock's fault */
        v->skewed = strstr(text, "short-lived token") != NULL;
    } else {
        class_of(reason, v);
        class_of_reservation(text, v);
    }
    json_decref(body);
}

/* ---- machines ---- */

static const char *last_part(const char *url)
{
    const char *slash = strrchr(url, '/');
    return slash == NULL ? url : slash + 1;
}

static void gce_list(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    const struct gce *g = p->own;
    q->what = "list instances";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/compute/v1/projects/%s/aggregated/instances?filter=labels.weir-owner%%3D%s&maxResults=500%s%s", p->conf.endpoint,
                  g->project, p->env->owner, page[0] != '\0' ? "&pageToken=" : "", page);
}

static int read_instance(const json_t *in, struct weir_rest_list *l, struct weir_err *err)
{
    static const struct {
        const char *status;
        enum weir_instance_state state;
        bool dead;
    } rows[] = {
        {"PROVISIONING", WEIR_INSTANCE_PENDING, false}, {"STAGING", WEIR_INSTANCE_PENDING, false},     {"PENDING", WEIR_INSTANCE_PENDING, false},
        {"RUNNING", WEIR_INSTANCE_RUNNING, false},      {"REPAIRING", WEIR_INSTANCE_RUNNING, false},   {"STOPPING", WEIR_INSTANCE_STOPPING, false},
        {"SUSPENDING", WEIR_INSTANCE_STOPPING, true},   {"DEPROVISIONING", WEIR_INSTANCE_STOPPING, false}, {"STOPPED", WEIR_INSTANCE_STOPPING, true},
        {"SUSPENDED", WEIR_INSTANCE_STOPPING, true},    {"TERMINATED", WEIR_INSTANCE_STOPPING, true},
    };
    struct weir_rest_machine m = {.state = WEIR_INSTANCE_PENDING, .launched = weir_rest_time(in, "creationTimestamp")};
    const char *name = weir_rest_text(in, "name");
    const char *status = weir_rest_text(in, "status");
    if (name[0] == '\0' || strlen(name) > NAME_MAX_BYTES) {
        return weir_fail(err, -WEIR_EIO, "an instance without a name");
    }
    (void)snprintf(m.name, sizeof m.name, "%s", name);
    (void)snprintf(m.id, sizeof m.id, "%.31s/%s", last_part(weir_rest_text(in, "zone")), name);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_streq(rows[i].status, status)) {
            m.state = rows[i].state;
            m.dead = rows[i].dead;
        }
    }
    return weir_rest_list_add(l, &m, err);
}

/* A token of a page goes into a URL: Google's are of such characters. */
static bool is_page(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~%=")] == '\0' && strlen(text) < WEIR_REST_URL_SIZE / 2;
}

/* Calls `each` for every element of the array `member` in each scope of an aggregated list. A scope that could not be reached fails the
 * whole: what is missing there is not gone. */
static int each_scoped(const json_t *body, const char *member, int (*each)(void *ctx, const char *scope, const json_t *row, struct weir_err *err),
                       void *ctx, struct weir_err *err)
{
    json_t *items = json_object_get(body, "items");
    const char *scope;
    json_t *of;
    if (items != NULL && !json_is_object(items)) {
        return weir_fail(err, -WEIR_EIO, "an aggregated list whose 'items' is no object");
    }
    json_object_foreach(items, scope, of)
    {
        if (weir_streq(weir_rest_text(json_object_get(of, "warning"), "code"), "UNREACHABLE")) {
            return weir_fail(err, -WEIR_EUNAVAIL, "%.64s cannot be reached", scope);
        }
        json_t *rows = json_object_get(of, member);
        for (size_t i = 0; i < json_array_size(rows); i++) {
            int r = each(ctx, scope, json_array_get(rows, i), err);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

static int on_instance(void *ctx, const char *scope, const json_t *row, struct weir_err *err)
{
    (void)scope;
    return read_instance(row, ctx, err);
}

static int gce_on_list(struct weir_provider *p, const json_t *body, struct weir_rest_list *l, struct weir_err *err)
{
    (void)p;
    const char *next = weir_rest_text(body, "nextPageToken");
    if (!weir_streq(weir_rest_text(body, "kind"), "compute#instanceAggregatedList") || !is_page(next)) {
        return weir_fail(err, -WEIR_EIO, "the answer is not a list of instances");
    }
    int r = weir_rest_list_next(l, next, err);
    return r < 0 ? r : each_scoped(body, "instances", on_instance, l, err);
}

/* ---- launch ---- */

/* The same for the same token: a UUID of the kind that is anybody's own choice (version 8). */
static void request_id(const char *token, char ret[static UUID_SIZE])
{
    char hex[WEIR_SHA256_HEX_SIZE];
    weir_sha256_hex(weir_sv_of(token), hex);
    hex[12] = '8';
    hex[16] = '8';
    (void)snprintf(ret, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static int add_metadata(struct weir_provider *p, const struct weir_launch *l, struct weir_json *j, struct weir_err *err)
{
    const struct gce *g = p->own;
    struct weir_str script = WEIR_STR_INIT(BOOT_BYTES_MAX);
    struct weir_boot b = {.launch = l, .env = p->env, .pool = "gcp", .notice = "gce", .agent = g->agent[0] != '\0' ? g->agent : NULL,
                          .gpus = g->gpus[0] != '\0' ? g->gpus : NULL, .bytes_max = BOOT_BYTES_MAX};
    int r = weir_boot_script(&b, &script, err);
    if (r == 0) {
        weir_json_key(j, "metadata");
        weir_json_object(j);
        weir_json_key(j, "items");
        weir_json_array(j);
        weir_json_object(j);
        weir_json_kv_cstr(j, "key", "startup-script");
        weir_json_key(j, "value");
        weir_json_string(j, weir_str_sv(&script));
        weir_json_end(j);
        weir_json_end(j);
        weir_json_end(j);
    }
    weir_str_release(&script);
    return r;
}

static void add_disk(const struct gce *g, const struct weir_offer *o, struct weir_json *j)
{
    static const char *const newest[] = {"a4-*", "a4x-*", "g4-*", "a3-ultragpu-*"};
    const char *type = g->disk_type[0] != '\0' ? g->disk_type : "pd-balanced";
    for (size_t i = 0; g->disk_type[0] == '\0' && i < WEIR_ARRAY_LEN(newest); i++) {
        type = weir_glob_match(weir_sv_of(newest[i]), weir_sv_of(o->instance_type)) ? "hyperdisk-balanced" : type;
    }
    char text[128];
    weir_json_key(j, "disks");
    weir_json_array(j);
    weir_json_object(j);
    weir_json_kv_bool(j, "boot", true);
    weir_json_kv_bool(j, "autoDelete", true);
    weir_json_kv_cstr(j, "type", "PERSISTENT");
    weir_json_key(j, "initializeParams");
    weir_json_object(j);
    weir_json_kv_cstr(j, "sourceImage", g->image);
    (void)snprintf(text, sizeof text, "%u", g->disk_gb); /* a 64-bit number is a string in Google's JSON */
    weir_json_kv_cstr(j, "diskSizeGb", text);
    (void)snprintf(text, sizeof text, "zones/%s/diskTypes/%s", o->zone, type);
    weir_json_kv_cstr(j, "diskType", text);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
}

static void add_network(const struct gce *g, struct weir_json *j)
{
    weir_json_key(j, "networkInterfaces");
    weir_json_array(j);
    weir_json_object(j);
    if (g->subnetwork[0] != '\0') {
        weir_json_kv_cstr(j, "subnetwork", g->subnetwork);
    } else {
        weir_json_kv_cstr(j, "network", g->network);
    }
    if (g->external_ip) {
        weir_json_key(j, "accessConfigs");
        weir_json_raw(j, WEIR_SV("[{\"type\":\"ONE_TO_ONE_NAT\",\"name\":\"External NAT\"}]"));
    }
    weir_json_end(j);
    weir_json_end(j);
}

/* Of a reservation that is to be named, in the project or shared with it; those that any machine may use apply by themselves. */
static void add_reservation(const struct weir_launch *l, struct weir_json *j)
{
    if (l->reservation == NULL) {
        return;
    }
    weir_json_key(j, "reservationAffinity");
    weir_json_object(j);
    weir_json_kv_cstr(j, "consumeReservationType", "SPECIFIC_RESERVATION");
    weir_json_kv_cstr(j, "key", "compute.googleapis.com/reservation-name");
    weir_json_key(j, "values");
    weir_json_array(j);
    weir_json_cstr(j, l->reservation);
    weir_json_end(j);
    weir_json_end(j);
}

static void add_scheduling(const struct gce *g, const struct weir_offer *o, struct weir_json *j)
{
    char seconds[32];
    (void)snprintf(seconds, sizeof seconds, "%" PRId64, g->max_run.us / WEIR_US_PER_S);
    weir_json_key(j, "scheduling");
    weir_json_object(j);
    weir_json_kv_cstr(j, "provisioningModel", o->market == WEIR_OFFER_SPOT ? "SPOT" : o->ends.us != 0 ? "RESERVATION_BOUND" : "STANDARD");
    weir_json_kv_cstr(j, "instanceTerminationAction", "DELETE");
    weir_json_kv_cstr(j, "onHostMaintenance", "TERMINATE"); /* machines with GPUs do not migrate */
    weir_json_kv_bool(j, "automaticRestart", false);
    if (o->ends.us == 0) { /* else it goes with its reservation */
        weir_json_key(j, "maxRunDuration");
        weir_json_object(j);
        weir_json_kv_cstr(j, "seconds", seconds);
        weir_json_end(j);
    }
    weir_json_end(j);
}

static int gce_launch(struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_rest_request *q, struct weir_err *err)
{
    const struct gce *g = p->own;
    const struct weir_offer *o = l->offer;
    char text[128];
    char uuid[UUID_SIZE];
    if (strlen(name) > NAME_MAX_BYTES || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name)) {
        return weir_fail(err, -WEIR_EINVAL, "'%s' cannot be a machine's name at Google", name);
    }
    if (o->zone[0] == '\0') {
        return weir_fail(err, -WEIR_EINVAL, "the offer of %s in %s has no zone", o->instance_type, o->region);
    }
    request_id(l->token, uuid);
    q->what = "insert instance";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/compute/v1/projects/%s/zones/%s/instances?requestId=%s", p->conf.endpoint, g->project, o->zone, uuid);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", name);
    (void)snprintf(text, sizeof text, "zones/%s/machineTypes/%s", o->zone, o->instance_type);
    weir_json_kv_cstr(&j, "machineType", text);
    add_disk(g, o, &j);
    add_network(g, &j);
    add_scheduling(g, o, &j);
    add_reservation(l, &j);
    weir_json_key(&j, "labels");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "weir-owner", p->env->owner);
    (void)snprintf(text, sizeof text, "%" PRIu64, l->lease.v);
    weir_json_kv_cstr(&j, "weir-lease", text);
    weir_json_end(&j);
    if (g->service_account[0] != '\0') {
        weir_json_key(&j, "serviceAccounts");
        weir_json_array(&j);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "email", g->service_account);
        weir_json_key(&j, "scopes");
        weir_json_raw(&j, WEIR_SV("[\"https://www.googleapis.com/auth/cloud-platform\"]"));
        weir_json_end(&j);
        weir_json_end(&j);
    }
    int r = add_metadata(p, l, &j, err);
    weir_json_end(&j);
    return r;
}

/* The answer is the operation, at the launch and at every look at it afterwards. */
static int gce_on_launch(struct weir_provider *p, const json_t *body, const char *name, struct weir_rest_machine *ret, struct weir_rest_request *q,
                         struct weir_cloud_verdict *v, struct weir_err *err)
{
    const struct gce *g = p->own;
    const char *op = weir_rest_text(body, "name");
    const char *zone = last_part(weir_rest_text(body, "zone"));
    const json_t *error = json_array_get(json_object_get(json_object_get(body, "error"), "errors"), 0);
    if (!weir_streq(weir_rest_text(body, "kind"), "compute#operation") || zone[0] == '\0' || strlen(zone) >= WEIR_REGION_SIZE || !is_page(op) ||
        !is_page(zone)) {
        return weir_fail(err, -WEIR_EIO, "the answer to a launch is not an operation");
    }
    if (!weir_streq(weir_rest_text(body, "status"), "DONE")) {
        q->what = "look at the operation";
        q->method = "GET";
        weir_str_addf(&q->url, "%s/compute/v1/projects/%s/zones/%s/operations/%s", p->conf.endpoint, g->project, zone, op);
        return 1;
    }
    if (error != NULL) {
        v->class = WEIR_PROVIDER_REFUSED;
        class_of(weir_rest_text(error, "code"), v);
        class_of_reservation(weir_rest_text(error, "message"), v);
        (void)snprintf(v->text, sizeof v->text, "%.60s: %.160s", weir_rest_text(error, "code"), weir_rest_text(error, "message"));
        return 0;
    }
    (void)snprintf(ret->id, sizeof ret->id, "%s/%s", zone, name);
    return 0;
}

static void gce_terminate(struct weir_provider *p, const char *id, struct weir_rest_request *q)
{
    const struct gce *g = p->own;
    struct weir_sv name = weir_sv_of(id);
    struct weir_sv zone = weir_sv_cut(&name, '/');
    q->what = "delete instance";
    q->method = "DELETE";
    weir_str_addf(&q->url, "%s/compute/v1/projects/%s/zones/%.*s/instances/%.*s", p->conf.endpoint, g->project, WEIR_SV_ARG(zone), WEIR_SV_ARG(name));
}

/* ---- offers: the types that each zone has, at the price of their region ---- */

/* Compute Engine's part of the price list, then the machine types: pages "types" and "types TOKEN". */
static const char types_page[] = "types";

static void gce_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    struct gce *g = p->own;
    bool is_first = page[0] == '\0';
    if (is_first) {
        gce_skus_begin(g->skus);
    }
    g->pricing_skus = g->live_prices && strncmp(page, types_page, strlen(types_page)) != 0;
    if (g->pricing_skus) {
        q->what = "list prices";
        q->method = "GET";
        weir_str_addf(&q->url, "%s/v1/services/6F81-5844-456A/skus?currencyCode=USD&pageSize=1000%s%s", g->prices_endpoint, is_first ? "" : "&pageToken=", page);
        return;
    }
    page += is_first ? 0 : strlen(types_page);
    q->what = "list machine types";
    q->method = "GET";
    weir_str_addf(&q->url, "%s/compute/v1/projects/%s/aggregated/machineTypes?filter=name%%20eq%%20%%22(a2%%7Ca3%%7Ca4%%7Ca4x%%7Cg2%%7Cg4)-.*%%22&maxResults=500%s%s",
                  p->conf.endpoint, g->project, page[0] != '\0' ? "&pageToken=" : "", page);
}

struct types_ctx {
    struct weir_provider *p;
    struct weir_rest_offers *l;
};

static bool zone_is_wanted(const struct gce *g, const char *zone)
{
    for (size_t i = 0; i < g->n_zones; i++) {
        if (weir_glob_match(weir_sv_of(g->zone[i]), weir_sv_of(zone))) {
            return true;
        }
    }
    return g->n_zones == 0;
}

/* What Google asks for it, where that is known and can be. */
static void set_price(struct types_ctx *t, struct weir_offer *o)
{
    const struct gce *g = t->p->own;
    char told[WEIR_MONEY_SIZE];
    char list[WEIR_MONEY_SIZE];
    bool spot = o->market == WEIR_OFFER_SPOT;
    struct weir_wall since;
    int64_t price = gce_skus_price(g->skus, o->instance_type, weir_sv_of(o->region), spot, o->cpu_milli / 1000, o->mem_mib, o->gpus, &since);
    if (price < 0) {
        return;
    }
    struct weir_offer now = *o;
    if (!weir_provider_price(t->p->env, &now, "USD", price)) {
        weir_rest_offers_unpriced(t->l, "USD");
        return;
    }
    if (!weir_rest_is_near(now.price_micro_per_hour, o->price_micro_per_hour)) {
        weir_rest_offers_refuse(t->l, "%s in %s at %s an hour; the list has %s", o->instance_type, o->region, weir_money_format(now.price_micro_per_hour, told),
                                weir_money_format(o->price_micro_per_hour, list));
        return;
    }
    *o = now;
    o->price_since = since;
    o->as_of = (struct weir_wall){0}; /* now */
    (void)snprintf(o->source, sizeof o->source, "Cloud Billing catalogue (live)");
}

static int on_type(void *ctx, const char *scope, const json_t *row, struct weir_err *err)
{
    (void)err;
    struct types_ctx *t = ctx;
    const struct gce *g = t->p->own;
    const char *zone = last_part(scope);
    const char *end = strrchr(zone, '-');
    json_int_t cpus = json_integer_value(json_object_get(row, "guestCpus"));
    json_int_t mem_mib = json_integer_value(json_object_get(row, "memoryMb"));
    if (end == NULL || strlen(zone) >= WEIR_REGION_SIZE || !zone_is_wanted(g, zone) || cpus <= 0 || cpus > 4096 || mem_mib <= 0) {
        return 0;
    }
    size_t n;
    const struct weir_offer *c = weir_rest_catalogue(t->p, &n);
    for (size_t i = 0; i < n; i++) {
        bool same = weir_streq(c[i].instance_type, weir_rest_text(row, "name")) && weir_sv_eq(weir_sv_of(c[i].region), (struct weir_sv){zone, (size_t)(end - zone)});
        if (same && (c[i].market == WEIR_OFFER_ON_DEMAND || (c[i].market == WEIR_OFFER_SPOT && g->spot))) {
            struct weir_offer o = c[i];
            (void)snprintf(o.zone, sizeof o.zone, "%s", zone);
            o.cpu_milli = (uint32_t)cpus * 1000;
            o.mem_mib = (uint64_t)mem_mib;
            set_price(t, &o);
            weir_rest_offers_add(t->l, &o);
        }
    }
    return 0;
}

static void on_refused_sku(void *ctx, const char *text)
{
    weir_rest_offers_refuse(ctx, "%s", text);
}

static int on_skus(struct weir_provider *p, const json_t *body, const char *next, struct weir_rest_offers *l, struct weir_err *err)
{
    struct gce *g = p->own;
    int r = is_page(next) ? gce_skus_read(g->skus, body, on_refused_sku, l, err) : weir_fail(err, -WEIR_EIO, "the name of the price list's next page is odd");
    if (r == 0 && next[0] == '\0') {
        gce_skus_end(g->skus);
    }
    weir_rest_offers_next(l, next[0] != '\0' ? next : types_page);
    return r;
}

/* Without the price list the types have the rates of the last one, or the catalogue's prices. */
static bool gce_on_prices_failed(struct weir_provider *p, struct weir_rest_offers *l)
{
    struct gce *g = p->own;
    bool was_list = g->pricing_skus;
    if (was_list) {
        gce_skus_begin(g->skus);
        weir_rest_offers_next(l, types_page);
    }
    return was_list;
}

static int gce_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    const struct gce *g = p->own;
    const char *next = weir_rest_text(body, "nextPageToken");
    if (g->pricing_skus) {
        return on_skus(p, body, next, l, err);
    }
    if (!weir_streq(weir_rest_text(body, "kind"), "compute#machineTypeAggregatedList") || !is_page(next)) {
        return weir_fail(err, -WEIR_EIO, "the answer is not a list of machine types");
    }
    struct types_ctx t = {p, l};
    char page[WEIR_REST_URL_SIZE] = "";
    if (next[0] != '\0') {
        (void)snprintf(page, sizeof page, "%s%s", types_page, next);
    }
    weir_rest_offers_next(l, page);
    return each_scoped(body, "machineTypes", on_type, &t, err);
}

/* ---- quotas: the regions', then the project's, then those of GPU families, and what machines take of them ---- */

static const char project_page[] = "project";
static const char families_page[] = "families";
static const char machines_page[] = "machines:";

static bool is_machines_page(const char *page)
{
    return strncmp(page, machines_page, sizeof machines_page - 1) == 0;
}

static void gce_quota(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    const struct gce *g = p->own;
    q->method = "GET";
    if (weir_streq(page, project_page)) {
        q->what = "get project";
        weir_str_addf(&q->url, "%s/compute/v1/projects/%s?fields=kind%%2Cquotas", p->conf.endpoint, g->project);
        return;
    }
    if (weir_streq(page, families_page)) {
        bool is_own = weir_streq(p->conf.endpoint, GCE_ENDPOINT);
        q->what = "get " GCE_FAMILY_METRIC;
        weir_str_addf(&q->url, "%s/v1/projects/%s/locations/global/services/compute.googleapis.com/quotaInfos/" GCE_FAMILY_QUOTA,
                      is_own ? "https://cloudquotas.googleapis.com" : p->conf.endpoint, g->project);
        return;
    }
    if (is_machines_page(page)) {
        const char *token = page + sizeof machines_page - 1;
        q->what = "count instances";
        weir_str_addf(&q->url,
                      "%s/compute/v1/projects/%s/aggregated/instances?fields=kind%%2CnextPageToken%%2Citems%%2F%%2A%%2Finstances%%28zone%%2CmachineType%%2Cstatus%%2C"
                      "scheduling%%2FprovisioningModel%%2CguestAccelerators%%2FacceleratorCount%%29&maxResults=500%s%s",
                      p->conf.endpoint, g->project, token[0] != '\0' ? "&pageToken=" : "", token);
        return;
    }
    q->what = "list regions";
    weir_str_addf(&q->url, "%s/compute/v1/projects/%s/regions?fields=kind%%2CnextPageToken%%2Citems%%28name%%2Cquotas%%29&maxResults=500%s%s", p->conf.endpoint,
                  g->project, page[0] != '\0' ? "&pageToken=" : "", page);
}

static int on_machine(void *ctx, const char *scope, const json_t *instance, struct weir_err *err)
{
    (void)scope;
    (void)err;
    gce_quota_machine(instance, ctx);
    return 0;
}

static int gce_on_quota(struct weir_provider *p, const json_t *body, struct weir_rest_quotas *l, struct weir_err *err)
{
    const json_t *items = json_object_get(body, "items");
    const char *next = weir_rest_text(body, "nextPageToken");
    if (weir_streq(weir_rest_text(body, "kind"), "compute#project")) {
        gce_quota_project(body, l);
        weir_rest_quotas_next(l, families_page);
        return 0;
    }
    if (weir_streq(weir_rest_text(body, "quotaId"), GCE_FAMILY_QUOTA)) {
        if (gce_quota_families(p, body, l)) {
            weir_rest_quotas_next(l, machines_page);
        }
        return 0;
    }
    if (weir_streq(weir_rest_text(body, "kind"), "compute#instanceAggregatedList") && is_page(next)) {
        char page[WEIR_REST_URL_SIZE] = "";
        if (next[0] != '\0') {
            (void)snprintf(page, sizeof page, "%s%s", machines_page, next);
        }
        weir_rest_quotas_next(l, page);
        return each_scoped(body, "instances", on_machine, l, err);
    }
    if (!weir_streq(weir_rest_text(body, "kind"), "compute#regionList") || !is_page(next)) {
        return weir_fail(err, -WEIR_EIO, "the answer is not a list of regions");
    }
    for (size_t i = 0; i < json_array_size(items); i++) {
        gce_quota_region(p, json_array_get(items, i), l);
    }
    weir_rest_quotas_next(l, next[0] != '\0' ? next : project_page);
    return 0;
}

/* Without the Cloud Quotas API, or leave to look, families' quotas are not known beforehand; nor are they where it is not known what is in use. */
static bool gce_on_quota_failed(struct weir_provider *p, const char *page, struct weir_rest_quotas *l)
{
    (void)p;
    if (is_machines_page(page)) {
        weir_rest_quotas_back(l);
    }
    return is_machines_page(page) || weir_streq(page, families_page);
}

/* ---- what doctor asks ---- */

enum { STEP_PERMISSIONS, STEP_IMAGE };

/* What weir does there needs these of the project; those of subnetworks may be given on a subnetwork, or in the project of a shared one. */
static const char *const permissions[] = {
    "compute.instances.create",   "compute.instances.delete",  "compute.instances.list",  "compute.instances.setLabels", "compute.instances.setMetadata",
    "compute.disks.create",       "compute.machineTypes.list", "compute.zoneOperations.get",
};
/* Without these, quotas are not known beforehand. */
static const char *const quota_permissions[] = {"compute.regions.list", "compute.projects.get", "cloudquotas.quotas.get"};
static const char *const network_permissions[] = {"compute.subnetworks.use", "compute.subnetworks.useExternalIp"};

static void ask_permissions(const struct weir_provider *p, struct weir_rest_request *q)
{
    const struct gce *g = p->own;
    bool is_own = weir_streq(p->conf.endpoint, GCE_ENDPOINT);
    q->what = "testIamPermissions";
    q->method = "POST";
    weir_str_addf(&q->url, "%s/v1/projects/%s:testIamPermissions", is_own ? "https://cloudresourcemanager.googleapis.com" : p->conf.endpoint, g->project);
    struct weir_json j = weir_json_begin(&q->body);
    weir_json_object(&j);
    weir_json_key(&j, "permissions");
    weir_json_array(&j);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(permissions); i++) {
        weir_json_cstr(&j, permissions[i]);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(network_permissions); i++) {
        weir_json_cstr(&j, network_permissions[i]);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(quota_permissions); i++) {
        weir_json_cstr(&j, quota_permissions[i]);
    }
    weir_json_end(&j);
    weir_json_end(&j);
}

static void gce_check(struct weir_provider *p, unsigned step, struct weir_rest_request *q)
{
    const struct gce *g = p->own;
    if (step == STEP_PERMISSIONS) {
        ask_permissions(p, q);
    } else if (step == STEP_IMAGE) {
        q->what = "get image";
        q->method = "GET";
        weir_str_addf(&q->url, "%s/compute/v1/%s", p->conf.endpoint, g->image);
    }
}

static bool is_granted(const json_t *granted, const char *permission)
{
    for (size_t i = 0; i < json_array_size(granted); i++) {
        const char *text = json_string_value(json_array_get(granted, i));
        if (text != NULL && weir_streq(text, permission)) {
            return true;
        }
    }
    return false;
}

/* Adds those of a list that are missing. */
static void add_missing(struct weir_str *out, const json_t *granted, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_granted(granted, list[i])) {
            weir_str_addf(out, "%s%s", out->n > 0 ? ", " : "", list[i]);
        }
    }
}

static void on_permissions(const struct gce *g, const struct weir_cloud_answer *a, const json_t *body, struct weir_checks *k)
{
    static const char role[] = "give the account a role with them on the project: 'Least privilege' in docs/guide/providers/gcp.md has the whole list";
    if (body == NULL) {
        weir_checks_add(k, "permissions", WEIR_CHECK_WARNING,
                        "enable the API that tells of permissions: gcloud services enable cloudresourcemanager.googleapis.com; weir needs it for nothing else",
                        "could not be asked for: %s", a->text[0] != '\0' ? a->text : "the answer is not JSON");
        return;
    }
    const json_t *granted = json_object_get(body, "permissions");
    WEIR_CLEANUP(weir_str_release) struct weir_str missing = WEIR_STR_INIT(4096);
    WEIR_CLEANUP(weir_str_release) struct weir_str of_network = WEIR_STR_INIT(4096);
    WEIR_CLEANUP(weir_str_release) struct weir_str of_quota = WEIR_STR_INIT(4096);
    add_missing(&missing, granted, permissions, WEIR_ARRAY_LEN(permissions));
    add_missing(&of_network, granted, network_permissions, g->external_ip ? 2 : 1);
    add_missing(&of_quota, granted, quota_permissions, WEIR_ARRAY_LEN(quota_permissions));
    if (missing.n > 0) {
        weir_checks_add(k, "permissions", WEIR_CHECK_FAILED, role, "missing on project %s: %s", g->project, weir_str_cstr(&missing));
    }
    if (of_network.n > 0) {
        weir_checks_add(k, "network", WEIR_CHECK_WARNING, "give them there, or on the subnetwork alone, of which this does not tell", "missing on project %s: %s",
                        g->project, weir_str_cstr(&of_network));
    }
    if (of_quota.n > 0) {
        weir_checks_add(k, "permissions", WEIR_CHECK_WARNING, role, "missing on project %s, so that what its quotas refuse is tried all the same: %s", g->project,
                        weir_str_cstr(&of_quota));
    }
    if (missing.n == 0 && of_network.n == 0 && of_quota.n == 0) {
        weir_checks_add(k, "permissions", WEIR_CHECK_OK, NULL, "project %s gives all that weir needs", g->project);
    }
}

static void gce_on_check(struct weir_provider *p, unsigned step, const struct weir_cloud_answer *a, const json_t *body, struct weir_checks *k)
{
    const struct gce *g = p->own;
    const char *status = weir_rest_text(body, "status");
    if (step == STEP_PERMISSIONS) {
        on_permissions(g, a, body, k);
    } else if (body != NULL && weir_streq(status, "READY")) {
        weir_checks_add(k, "image", WEIR_CHECK_OK, NULL, "%s is there", g->image);
    } else if (body != NULL || a->status == 404) {
        weir_checks_add(k, "image", WEIR_CHECK_FAILED, "correct 'image' of providers.gcp: 'gcloud compute images list --project PROJECT' names those that are there",
                        "%s: %s", g->image, body != NULL ? "it is not ready to be used" : a->text);
    } else if (a->status == 403) { /* to use it takes another permission than to look at it */
        weir_checks_add(k, "image", WEIR_CHECK_WARNING, "give the account compute.images.get and compute.images.getFromFamily on the image's project", "%s: %s",
                        g->image, a->text);
    } else {
        weir_checks_add(k, "image", WEIR_CHECK_WARNING, "ask again in a minute", "%s: %s", g->image, a->text);
    }
}

/* ---- the tables ---- */

static const struct weir_rest_ops gce_rest = {
    .endpoint = GCE_ENDPOINT,
    .keys = keys,
    .per_second = 10,
    .burst = 40,
    .poll = {3 * WEIR_US_PER_S},
    .prices_every = {3 * 3600 * WEIR_US_PER_S},
    .open = gce_open,
    .opened = gce_opened,
    .close = gce_close,
    .list = gce_list,
    .on_list = gce_on_list,
    .launch = gce_launch,
    .on_launch = gce_on_launch,
    .terminate = gce_terminate,
    .prices = gce_prices,
    .on_prices = gce_on_prices,
    .on_prices_failed = gce_on_prices_failed,
    .quota = gce_quota,
    .on_quota = gce_on_quota,
    .on_quota_failed = gce_on_quota_failed,
    .check = gce_check,
    .on_check = gce_on_check,
    .classify = gce_classify,
    .native = true,
};

static int gce_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    return weir_rest_open(ret, &gce_rest, &weir_gce_provider, env, conf, err);
}

const struct weir_provider_ops weir_gce_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "gcp", /* as in the catalogue */
    /* a Spot VM pays the Spot price of the time, which Google changes once a day at most: Spot VMs pricing */
    .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_TOKEN_NATIVE | WEIR_PROVIDER_SPOT_MOVES,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .quota_remedy = "ask for more on the console's page IAM & Admin, Quotas",
    .init = gce_init,
    .fini = weir_rest_fini,
    .offers = weir_rest_offers,
    .prices_anew = weir_rest_prices_anew,
    .quota = weir_rest_quota,
    .launch = weir_rest_launch,
    .describe = weir_rest_describe,
    .list = weir_rest_list,
    .terminate = weir_rest_terminate,
    .check = weir_rest_check,
};
