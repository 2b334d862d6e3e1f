/* SPDX-License-Identifier: Apache-2.0 */
/* The section, and who we are: clouds.yaml (with secure.yaml), or the OS_ variables, as OpenStack's own clients read them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/openstack/openstack_priv.h"
#include "cloud/section.h"
#include "spec/doc.h"

enum { FILE_BYTES_MAX = 1 << 20, PATH_SIZE = 512 };

static const char where[] = "openstack";
const char *const openstack_keys[] = {
    WEIR_REST_KEYS, WEIR_REST_BOOT_KEYS, "cloud",   "region",   "ca_file", "image", "flavors", "networks", "security_groups", "key_name", "zone", "volume_gb",
    "config_drive", "currency", NULL,
};
static const char *const flavor_keys[] = {"gpus", "gpu_memory", "price", NULL};

/* What clouds.yaml has under "auth", or (top) beside it, and the variable that says the same. */
static const struct field {
    const char *key;
    const char *variable;
    size_t at;
    size_t size;
    bool top;
} fields[] = {
#define FIELD(name, variable, top) {#name, variable, offsetof(struct openstack_auth, name), sizeof(((struct openstack_auth *)0)->name), top}
    FIELD(auth_url, "OS_AUTH_URL", false),
    FIELD(username, "OS_USERNAME", false),
    FIELD(user_id, "OS_USER_ID", false),
    FIELD(user_domain_name, "OS_USER_DOMAIN_NAME", false),
    FIELD(user_domain_id, "OS_USER_DOMAIN_ID", false),
    FIELD(project_name, "OS_PROJECT_NAME", false),
    FIELD(project_id, "OS_PROJECT_ID", false),
    FIELD(project_domain_name, "OS_PROJECT_DOMAIN_NAME", false),
    FIELD(project_domain_id, "OS_PROJECT_DOMAIN_ID", false),
    FIELD(application_credential_id, "OS_APPLICATION_CREDENTIAL_ID", false),
    FIELD(application_credential_name, "OS_APPLICATION_CREDENTIAL_NAME", false),
    FIELD(region_name, "OS_REGION_NAME", true),
    FIELD(interface, "OS_INTERFACE", true),
    FIELD(cacert, "OS_CACERT", true),
#undef FIELD
};

static void forget(char **secret)
{
    if (*secret != NULL) {
        explicit_bzero(*secret, strlen(*secret));
        free(*secret);
        *secret = NULL;
    }
}

/* ---- who we are ---- */

static int set_field(struct openstack_auth *a, const struct field *f, struct weir_sv value, const char *place, struct weir_err *err)
{
    if (value.n >= f->size) {
        return weir_fail(err, -WEIR_ECONFIG, "openstack: %s: %s has more than %zu bytes", place, f->key, f->size - 1);
    }
    memcpy((char *)a + f->at, value.p, value.n);
    ((char *)a)[f->at + value.n] = '\0';
    return 0;
}

static void set_secret(char **secret, const struct doc *d)
{
    if (d != NULL && d->kind == DOC_SCALAR && d->text.n > 0) {
        forget(secret);
        *secret = weir_strndup(d->text.p, d->text.n);
    }
}

/* Takes what one file says of the cloud; *ret_found: it knows it. */
static int read_cloud(struct openstack_auth *a, const char *path, const char *cloud, bool *ret_found, struct weir_err *err)
{
    char *text = NULL;
    size_t n = 0;
    int r = weir_file_read(path, FILE_BYTES_MAX, &text, &n, err);
    if (r < 0) {
        return r == -WEIR_ENOTFOUND ? 0 : weir_fail_prefix(err, -WEIR_ECONFIG, "openstack");
    }
    WEIR_CLEANUP(weir_arena_release) struct weir_arena arena = {0};
    struct doc *root = NULL;
    r = doc_from_yaml((struct weir_sv){text, n}, path, &arena, &root, err);
    const struct doc *clouds = r < 0 || root->kind != DOC_MAP ? NULL : doc_get(root, "clouds");
    const struct doc *mine = clouds == NULL || clouds->kind != DOC_MAP ? NULL : doc_get(clouds, cloud);
    const struct doc *auth = mine == NULL || mine->kind != DOC_MAP ? NULL : doc_get(mine, "auth");
    r = r < 0 ? weir_fail_prefix(err, -WEIR_ECONFIG, "openstack") : 0;
    for (size_t i = 0; r == 0 && auth != NULL && auth->kind == DOC_MAP && i < WEIR_ARRAY_LEN(fields); i++) {
        const struct doc *d = doc_get(fields[i].top ? mine : auth, fields[i].key);
        r = d != NULL && d->kind == DOC_SCALAR ? set_field(a, &fields[i], d->text, path, err) : 0;
    }
    if (r == 0 && auth != NULL && auth->kind == DOC_MAP) {
        set_secret(&a->password, doc_get(auth, "password"));
        set_secret(&a->application_credential_secret, doc_get(auth, "application_credential_secret"));
        *ret_found = true;
    }
    explicit_bzero(text, n);
    free(text);
    return r;
}

/* The first clouds.yaml that knows the cloud, and the first secure.yaml that adds to it. */
static int read_clouds(struct openstack_auth *a, const struct weir_provider_env *env, const char *cloud, struct weir_err *err)
{
    static const struct {
        const char *variable;
        const char *name;
    } files[] = {{"OS_CLIENT_CONFIG_FILE", "clouds.yaml"}, {"OS_CLIENT_SECURE_FILE", "secure.yaml"}};
    static const char *const folders[] = {"~/.config/openstack", "/etc/openstack"};
    bool known = false;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(files); i++) {
        bool found = false;
        const char *given = weir_section_env(env, files[i].variable);
        for (size_t k = 0; k <= WEIR_ARRAY_LEN(folders) && !found; k++) {
            char plain[PATH_SIZE];
            char path[PATH_SIZE];
            int n = k == 0 ? snprintf(plain, sizeof plain, "%s", given == NULL ? "" : given)
                           : snprintf(plain, sizeof plain, "%s/%s", folders[k - 1], files[i].name);
            int r = n > 0 && (size_t)n < sizeof plain && weir_section_path(env, plain, path, sizeof path) ? read_cloud(a, path, cloud, &found, err) : 0;
            if (r < 0) {
                return r;
            }
        }
        known = known || found;
    }
    return known ? 0
                 : weir_fail(err, -WEIR_ECONFIG,
                             "openstack: no clouds.yaml has the cloud '%s': looked in OS_CLIENT_CONFIG_FILE, ~/.config/openstack and /etc/openstack", cloud);
}

static int read_variables(struct openstack_auth *a, const struct weir_provider_env *env, struct weir_err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(fields); i++) {
        const char *v = weir_section_env(env, fields[i].variable);
        r = v == NULL ? 0 : set_field(a, &fields[i], weir_sv_of(v), fields[i].variable, err);
    }
    const char *secret = weir_section_env(env, "OS_APPLICATION_CREDENTIAL_SECRET");
    a->application_credential_secret = secret == NULL ? NULL : weir_strdup(secret);
    const char *password = weir_section_env(env, "OS_PASSWORD");
    a->password = password == NULL ? NULL : weir_strdup(password);
    return r;
}

/* A secret from a file of the section's stands before all others. */
static int read_secret_file(struct openstack_auth *a, const struct weir_provider_env *env, const json_t *section, struct weir_err *err)
{
    bool by_application = a->application_credential_id[0] != '\0' || a->application_credential_name[0] != '\0';
    char **secret = by_application ? &a->application_credential_secret : &a->password;
    char *read = NULL;
    if (json_object_get(section, "api_key_file") == NULL) {
        return 0;
    }
    int r = weir_section_secret(section, where, "api_key", env, NULL, NULL, &read, err);
    if (r == 0) {
        forget(secret);
        *secret = read;
    }
    return r < 0 ? -WEIR_ECONFIG : 0;
}

static int check_auth(struct openstack_auth *a, struct weir_err *err)
{
    bool by_application = a->application_credential_id[0] != '\0' || a->application_credential_name[0] != '\0';
    size_t n = strlen(a->auth_url);
    while (n > 0 && a->auth_url[n - 1] == '/') {
        a->auth_url[--n] = '\0';
    }
    if (n > 3 && strcmp(a->auth_url + n - 3, "/v3") == 0) {
        a->auth_url[n - 3] = '\0';
    }
    if (a->auth_url[0] == '\0') {
        return weir_fail(err, -WEIR_ECONFIG, "openstack: which cloud? Give 'cloud' (of clouds.yaml), or set OS_CLOUD, or OS_AUTH_URL and its kin");
    }
    if (!weir_section_may_send(a->auth_url)) {
        return weir_fail(err, -WEIR_ECONFIG, "openstack: auth_url: must be an https:// address (http:// only to this host): the password is sent there");
    }
    if (by_application && a->application_credential_secret == NULL) {
        return weir_fail(err, -WEIR_ECONFIG, "openstack: the application credential has no secret: set OS_APPLICATION_CREDENTIAL_SECRET, or name 'api_key_file'");
    }
    if (a->application_credential_id[0] == '\0' && a->username[0] == '\0' && a->user_id[0] == '\0') {
        return weir_fail(err, -WEIR_ECONFIG, "openstack: no user: set OS_USERNAME or OS_APPLICATION_CREDENTIAL_ID, or give 'cloud'");
    }
    if (!by_application && a->password == NULL) {
        return weir_fail(err, -WEIR_ECONFIG, "openstack: the user has no password: set OS_PASSWORD, or name 'api_key_file'");
    }
    if (!by_application && a->project_name[0] == '\0' && a->project_id[0] == '\0') {
        return weir_fail(err, -WEIR_ECONFIG, "openstack: no project: set OS_PROJECT_NAME or OS_PROJECT_ID");
    }
    return 0;
}

static int read_auth(struct openstack *o, const struct weir_provider_env *env, const char *endpoint, const json_t *section, struct weir_err *err)
{
    char cloud[128] = "";
    const char *named = weir_section_env(env, "OS_CLOUD");
    (void)snprintf(o->auth.interface, sizeof o->auth.interface, "public");
    if (named != NULL && strlen(named) < sizeof cloud) {
        memcpy(cloud, named, strlen(named) + 1);
    }
    int r = weir_section_text(section, where, "cloud", cloud, sizeof cloud, err);
    r = r < 0 ? r : cloud[0] != '\0' ? read_clouds(&o->auth, env, cloud, err) : read_variables(&o->auth, env, err);
    if (r == 0 && endpoint[0] != '\0') {
        (void)snprintf(o->auth.auth_url, sizeof o->auth.auth_url, "%s", endpoint);
    }
    r = r < 0 ? r : weir_section_text(section, where, "region", o->auth.region_name, sizeof o->auth.region_name, err);
    r = r < 0 ? r : weir_section_text(section, where, "ca_file", o->auth.cacert, sizeof o->auth.cacert, err);
    r = r < 0 ? r : read_secret_file(&o->auth, env, section, err);
    r = r < 0 ? r : check_auth(&o->auth, err);
    char path[PATH_SIZE];
    size_t n = 0;
    if (r == 0 && o->auth.cacert[0] != '\0') {
        r = weir_section_path(env, o->auth.cacert, path, sizeof path) ? weir_file_read(path, FILE_BYTES_MAX, &o->ca_pem, &n, err)
                                                                      : weir_fail(err, -WEIR_ECONFIG, "%s: HOME is not known", o->auth.cacert);
        r = r < 0 ? weir_fail_prefix(err, -WEIR_ECONFIG, "openstack: the cloud's certificate authority") : 0;
    }
    return r;
}

/* ---- machines ---- */

static bool is_word(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:");
    return n > 0 && s[n] == '\0';
}

/* "A100:2", or "A100". */
static int read_gpus(struct openstack_flavor *f, const struct weir_provider_env *env, const json_t *value, const char *place, struct weir_err *err)
{
    char text[96] = "";
    int r = weir_section_text(value, place, "gpus", text, sizeof text, err);
    if (r < 0) {
        return r;
    }
    char *colon = strrchr(text, ':');
    uint64_t n = 1;
    bool counts = colon == NULL || weir_parse_u64(weir_sv_of(colon + 1), 1, 64, &n, NULL) == 0;
    if (colon != NULL) {
        *colon = '\0';
    }
    f->gpus = (uint16_t)n;
    f->gpu_model = text[0] == '\0' ? WEIR_GPU_MODEL_ANY : weir_gpu_table_find(env->gpus, weir_sv_of(text));
    if (!counts || f->gpu_model == WEIR_GPU_MODEL_ANY) {
        return weir_section_bad(err, place, "gpus", "must be a model that weir knows and how many: \"A100:2\"");
    }
    f->gpu_mem_mib = weir_gpu_table_get(env->gpus, f->gpu_model)->mem_mib;
    return 0;
}

static int read_flavors(struct openstack *o, const struct weir_provider_env *env, const json_t *section, struct weir_err *err)
{
    const json_t *flavors = json_object_get(section, "flavors");
    const char *name;
    json_t *value;
    if (!json_is_object(flavors) || json_object_size(flavors) == 0) {
        return weir_section_bad(err, where, "flavors", "must name the flavors with GPUs, and what they cost: {g1.a100: {gpus: \"A100:1\", price: 1.90}}");
    }
    json_object_foreach((json_t *)(uintptr_t)flavors, name, value)
    {
        struct openstack_flavor f = {.gpus = 0};
        char place[96];
        uint64_t bytes = 0;
        (void)snprintf(place, sizeof place, "openstack.flavors.%.64s", name);
        if (name[0] == '\0' || strlen(name) >= sizeof f.name) {
            return weir_fail(err, -WEIR_ECONFIG, "%s: a flavor's name has 1 to %zu bytes", place, sizeof f.name - 1);
        }
        memcpy(f.name, name, strlen(name) + 1);
        int r = weir_section_check(value, place, flavor_keys, err);
        r = r < 0 ? r : read_gpus(&f, env, value, place, err);
        r = r < 0 ? r : weir_section_bytes(value, place, "gpu_memory", UINT64_C(1) << 30, &bytes, err);
        r = r < 0 ? r : weir_section_price(value, place, "price", &f.price_micro_per_hour, err);
        if (r == 0 && f.price_micro_per_hour == 0) {
            r = weir_section_bad(err, place, "price", "must be given: what an hour of it costs, in the currency that 'currency' says, else the ledger's");
        }
        if (r < 0) {
            return r;
        }
        f.gpu_mem_mib = bytes != 0 && bytes >> 20 <= UINT32_MAX ? (uint32_t)(bytes >> 20) : f.gpu_mem_mib;
        weir_vec_push(&o->flavor, f);
    }
    return 0;
}

static int check_words(char word[][OPENSTACK_ID_SIZE], size_t n, const char *key, struct weir_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_word(word[i])) {
            return weir_section_bad(err, where, key, "must be plain ids or names");
        }
    }
    return 0;
}

static int read_machine(struct openstack *o, const json_t *section, struct weir_err *err)
{
    int r = weir_section_text(section, where, "image", o->image, sizeof o->image, err);
    if (r == 0 && !is_word(o->image)) {
        r = weir_section_bad(err, where, "image", "must be given: the id of an image with the GPU's driver and cloud-init");
    }
    r = r < 0 ? r : weir_section_names(section, where, "networks", o->network[0], sizeof o->network[0], OPENSTACK_NETWORKS_MAX, &o->n_networks, err);
    r = r < 0 ? r : check_words(o->network, o->n_networks, "networks", err);
    r = r < 0 ? r : weir_section_names(section, where, "security_groups", o->group[0], sizeof o->group[0], OPENSTACK_GROUPS_MAX, &o->n_groups, err);
    r = r < 0 ? r : weir_section_text(section, where, "key_name", o->key_name, sizeof o->key_name, err);
    r = r < 0 ? r : weir_section_text(section, where, "zone", o->zone, sizeof o->zone, err);
    r = r < 0 ? r : weir_section_currency(section, where, o->currency, err);
    r = r < 0 ? r : weir_section_u32(section, where, "volume_gb", 1, 65536, &o->volume_gb, err);
    r = r < 0 ? r : weir_section_bool(section, where, "config_drive", &o->config_drive, err);
    return r < 0 ? r : weir_rest_boot_read(&o->boot, section, where, err);
}

int openstack_conf_read(struct openstack *ret, const struct weir_provider_env *env, const char *endpoint, const json_t *section,
                        struct weir_err *err)
{
    *ret = (struct openstack){.token = NULL};
    int r = read_auth(ret, env, endpoint, section, err);
    r = r < 0 ? r : read_machine(ret, section, err);
    r = r < 0 ? r : read_flavors(ret, env, section, err);
    if (r < 0) {
        openstack_conf_release(ret);
    }
    return r;
}

void openstack_conf_release(struct openstack *o)
{
    forget(&o->auth.password);
    forget(&o->auth.application_credential_secret);
    free(o->ca_pem);
    o->ca_pem = NULL;
    weir_rest_boot_release(&o->boot);
    weir_vec_release(&o->flavor);
}
