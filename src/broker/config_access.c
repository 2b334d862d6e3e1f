/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's section "access": whose signed tokens are taken, and what they may do. */

#include <stddef.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "config_priv.h"
#include "net/address.h"

enum { CA_BYTES_MAX = 1 << 20, SKEW_S_DEFAULT = 60, SKEW_S_MAX = 600, KEEP_S_DEFAULT = 86400, LIFE_S_MIN = 20 };

/* https, or http to this very host: keys that came through others' hands would prove nothing. */
static bool is_safe_url(const char *url)
{
    struct weir_sv s = weir_sv_of(url);
    return (weir_sv_starts(s, WEIR_SV("https://")) || (weir_sv_starts(s, WEIR_SV("http://")) && weir_url_is_loopback(url))) &&
           url[s.n - 1] != '/' && strpbrk(url, "?# \t\n") == NULL;
}

static int read_issuer(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    int r = config_read_string(l, d, o->issuer, sizeof o->issuer);
    if (r == 0 && !is_safe_url(o->issuer)) {
        return config_fail_at(l, d, "an issuer is an https:// address as it stands in its tokens, without a slash at the end (http:// on this host only)");
    }
    return r;
}

static int read_audience(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    return config_read_string(l, d, o->audience, sizeof o->audience);
}

static int read_user_claim(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    return config_read_string(l, d, o->user_claim, sizeof o->user_claim);
}

static int read_groups_claim(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    return config_read_string(l, d, o->groups_claim, sizeof o->groups_claim);
}

static int read_client_id(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    return config_read_string(l, d, o->client_id, sizeof o->client_id);
}

static int read_ca(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    return config_read_string(l, d, o->ca_file, sizeof o->ca_file);
}

static int read_skew(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    int r = config_read_duration(l, d, &o->skew);
    return r == 0 && o->skew.us > SKEW_S_MAX * WEIR_US_PER_S ? config_fail_at(l, d, "clocks that differ by more than 10m are not to be put up with") : r;
}

static int read_keep(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    return config_read_duration(l, d, &o->keep);
}

static int fail_role(struct config_loader *l, const struct doc *d, bool in_project)
{
    return config_fail_at(l, d, in_project ? "PROJECT:ROLE is wanted here, with owner, user or viewer as the role, and * for all projects"
                                           : "a role is wanted here: admin, operator, finance, user or viewer");
}

static int parse_role(struct config_loader *l, const struct doc *d, struct weir_sv text, bool in_project, enum weir_role *ret)
{
    char name[16] = "";
    if (text.n > 0 && text.n < sizeof name) {
        memcpy(name, text.p, text.n);
    }
    enum weir_role role = weir_role_find(name);
    bool is_one = in_project ? role >= WEIR_ROLE_VIEWER && role <= WEIR_ROLE_OWNER : role >= WEIR_ROLE_VIEWER && role <= WEIR_ROLE_ADMIN && role != WEIR_ROLE_OWNER;
    *ret = role;
    return is_one ? 0 : fail_role(l, d, in_project);
}

static int read_role(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_oidc *o = target;
    int r = config_scalar(l, d);
    if (r == 0 && weir_sv_eq(d->text, WEIR_SV("none"))) {
        o->role = WEIR_ROLE_NONE;
        return 0;
    }
    return r != 0 ? r : parse_role(l, d, d->text, false, &o->role);
}

static int add_grant(struct config_loader *l, const struct doc *group, const struct doc *d, bool in_project, struct weir_config_oidc *o)
{
    struct weir_config_grant g = {.role = WEIR_ROLE_NONE};
    int r = config_scalar(l, d);
    if (r != 0) {
        return r;
    }
    if (o->n_grants == WEIR_CONFIG_GRANTS_MAX || group->key.n == 0 || group->key.n >= sizeof g.group) {
        return config_fail_at(l, d, "there are more than 256 rows, or the group's name is empty or too long");
    }
    struct weir_sv role = d->text;
    if (in_project) {
        struct weir_sv project = weir_sv_cut(&role, ':');
        if (role.p == NULL || project.n == 0 || project.n >= sizeof g.project || !weir_utf8_is_text(project)) {
            return fail_role(l, d, true);
        }
        memcpy(g.project, project.p, project.n);
    }
    r = parse_role(l, d, role, in_project, &g.role);
    if (r == 0) {
        memcpy(g.group, group->key.p, group->key.n);
        o->grant = weir_realloc(o->grant, o->n_grants + 1, sizeof *o->grant);
        o->grant[o->n_grants++] = g;
    }
    return r;
}

/* {GROUP: WHAT} or {GROUP: [WHAT, ...]} */
static int read_grants(struct config_loader *l, const struct doc *d, bool in_project, void *target)
{
    if (d->kind != DOC_MAP) {
        return config_fail_at(l, d, "a mapping of the issuer's groups is wanted here");
    }
    for (const struct doc *g = d->first; g != NULL; g = g->next) {
        int r = g->kind == DOC_LIST ? 0 : add_grant(l, g, g, in_project, target);
        for (const struct doc *i = g->kind == DOC_LIST ? g->first : NULL; r == 0 && i != NULL; i = i->next) {
            r = add_grant(l, g, i, in_project, target);
        }
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int read_roles(struct config_loader *l, const struct doc *d, void *target)
{
    return read_grants(l, d, false, target);
}

static int read_projects(struct config_loader *l, const struct doc *d, void *target)
{
    return read_grants(l, d, true, target);
}

static int read_one(struct config_loader *l, const struct doc *d, struct weir_config_oidc *o)
{
    static const struct config_row rows[] = {
        {"issuer", read_issuer, 0}, {"audience", read_audience, 0}, {"user", read_user_claim, 0}, {"groups", read_groups_claim, 0},
        {"role", read_role, 0},     {"roles", read_roles, 0},       {"projects", read_projects, 0}, {"client_id", read_client_id, 0},
        {"ca", read_ca, 0},         {"skew", read_skew, 0},         {"keep", read_keep, 0},
    };
    *o = (struct weir_config_oidc){.user_claim = "sub", .groups_claim = "groups", .role = WEIR_ROLE_USER,
                                   .skew = weir_dur_s(SKEW_S_DEFAULT), .keep = weir_dur_s(KEEP_S_DEFAULT)};
    int r = config_read_rows(l, d, rows, sizeof rows / sizeof rows[0], o);
    if (r == 0 && (o->issuer[0] == '\0' || o->audience[0] == '\0' || o->user_claim[0] == '\0')) {
        return config_fail_at(l, d, "an issuer wants 'issuer' and 'audience': a token for another audience is not for weir");
    }
    return r;
}

static int read_oidc(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_access *a = target;
    if (d->kind != DOC_LIST || d->n == 0 || d->n > WEIR_CONFIG_ISSUERS_MAX || a->oidc != NULL) {
        return config_fail_at(l, d, "a list of one to 8 issuers is wanted here");
    }
    a->oidc = weir_calloc(d->n, sizeof *a->oidc);
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        int r = read_one(l, i, &a->oidc[a->n_oidc++]);
        for (size_t k = 0; r == 0 && k + 1 < a->n_oidc; k++) {
            if (weir_streq(a->oidc[k].issuer, a->oidc[a->n_oidc - 1].issuer)) {
                r = config_fail_at(l, i, "this issuer stands here twice");
            }
        }
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int read_loopback(struct config_loader *l, const struct doc *d, void *target)
{
    bool needs_token = weir_sv_eq(d->text, WEIR_SV("token"));
    int r = config_scalar(l, d);
    if (r == 0 && !needs_token && !weir_sv_eq(d->text, WEIR_SV("user"))) {
        return config_fail_at(l, d, "loopback is 'user' (a process of the broker's own user needs no token) or 'token' (it does, as all others)");
    }
    memcpy(target, &needs_token, sizeof needs_token);
    return r;
}

int config_read_access(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {{"oidc", read_oidc, 0}, {"loopback", read_loopback, offsetof(struct weir_config_access, host_needs_token)}, {"certificate_life", config_read_duration, offsetof(struct weir_config_access, certificate_life)}};
    const struct weir_config_access *a = target;
    int r = config_read_rows(l, d, rows, sizeof rows / sizeof rows[0], target);
    return r == 0 && a->certificate_life.us < LIFE_S_MIN * WEIR_US_PER_S ? config_fail_at(l, d, "access: certificate_life must be at least 20s") : r;
}

int config_access_load(struct weir_config_access *a, struct weir_err *err)
{
    for (size_t i = 0; i < a->n_oidc; i++) {
        struct weir_config_oidc *o = &a->oidc[i];
        size_t n = 0;
        int r = o->ca_file[0] == '\0' ? 0 : weir_file_read(o->ca_file, CA_BYTES_MAX, &o->ca_pem, &n, err);
        if (r != 0) {
            return weir_fail_prefix(err, r, "access: oidc: ca");
        }
    }
    return 0;
}

void config_access_release(struct weir_config_access *a)
{
    for (size_t i = 0; i < a->n_oidc; i++) {
        free(a->oidc[i].ca_pem);
        free(a->oidc[i].grant);
    }
    free(a->oidc);
}
