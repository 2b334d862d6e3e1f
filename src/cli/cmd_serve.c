/* SPDX-License-Identifier: Apache-2.0 */

/* weir serve and weir agent: options become the configuration of the program that runs then. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/notice.h"
#include "api_client.h"
#include "base/log.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/process.h"
#include "broker/broker.h"
#include "command.h"
#include "output.h"

enum { SECRET_BYTES_MAX = 4096, CA_BYTES_MAX = 1 << 20, PATH_BYTES_MAX = 4096 };

static const char *const levels[] = {
    [WEIR_LOG_ERROR] = "error", [WEIR_LOG_WARNING] = "warning", [WEIR_LOG_NOTICE] = "notice",
    [WEIR_LOG_INFO] = "info",   [WEIR_LOG_DEBUG] = "debug",     NULL,
};

#define LOG_LEVEL_OPTION                                                                                               \
    {                                                                                                                  \
        "log-level", 0, WEIR_OPT_CHOICE, .arg = "LEVEL", .help = "what is logged on standard error (default notice)",  \
                                         .choices = levels                                                             \
    }

const struct weir_opt weir_opts_serve[] = {
    {"listen", 'l', WEIR_OPT_TEXT, .arg = "HOST:PORT",
     .help = "address (default 127.0.0.1:7070); others than loopback speak https"},
    {"data", 'd', WEIR_OPT_TEXT, .arg = "DIR", .help = "data directory (default ~/.local/share/weir)"},
    {"config", 'c', WEIR_OPT_TEXT, .arg = "FILE", .help = "configuration (default DIR/weir.yaml where it exists)"},
    {"tls-cert", 0, WEIR_OPT_TEXT, .arg = "FILE", .help = "PEM certificate for clients elsewhere, read again when it changes (default: weir's own)"},
    {"tls-key", 0, WEIR_OPT_TEXT, .arg = "FILE", .help = "its key"},
    {"declare-gpus", 0, WEIR_OPT_TEXT, .arg = "MODEL:N", .help = "GPUs that stand in on a host that has none: A100:4"},
    {"no-agent", 0, WEIR_OPT_FLAG, .help = "start no agent for this host"},
    LOG_LEVEL_OPTION,
    {0},
};

const struct weir_opt weir_opts_agent[] = {
    {"broker", 'b', WEIR_OPT_TEXT, .arg = "URL", .help = "the broker (default WEIR_URL)"},
    {"token-file", 0, WEIR_OPT_TEXT, .arg = "FILE", .help = "file with the agent's token (default WEIR_TOKEN)"},
    {"ca", 0, WEIR_OPT_TEXT, .arg = "FILE",
     .help = "the broker's authority, tls/ca.pem of its data directory (default WEIR_CA)"},
    {"data", 'd', WEIR_OPT_TEXT, .arg = "DIR", .help = "the agent's own directory (default ~/.local/share/weir/agent)"},
    {"name", 0, WEIR_OPT_TEXT, .arg = "NAME", .help = "name of the node (default the host's)"},
    {"pool", 0, WEIR_OPT_TEXT, .arg = "POOL", .help = "pool that the node joins (default local)"},
    {"address", 0, WEIR_OPT_TEXT, .arg = "ADDRESS", .help = "where other nodes reach this one (default: found)"},
    {"lease", 0, WEIR_OPT_COUNT, .arg = "N", .help = "lease of a rented machine", .min = 1, .max = INT64_MAX},
    {"lease-expires", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "when a rented machine ends itself"},
    {"notice-file", 0, WEIR_OPT_TEXT, .arg = "FILE", .help = "file in which the provider's notice of reclaim appears"},
    {"notice", 0, WEIR_OPT_CHOICE, .arg = "CLOUD", .help = "whose metadata service is asked for notices of reclaim", .choices = weir_notice_kinds},
    {"power-off", 0, WEIR_OPT_TEXT, .arg = "PROGRAM", .help = "what ends a rented machine when its lease does (default: only the agent ends)"},
    {"declare-gpus", 0, WEIR_OPT_TEXT, .arg = "MODEL:N", .help = "GPUs that stand in on a host that has none: A100:4"},
    {"declare-cpus", 0, WEIR_OPT_TEXT, .arg = "N", .help = "CPU cores to offer (default: as found)"},
    {"declare-memory", 0, WEIR_OPT_TEXT, .arg = "SIZE",
     .help = "memory to offer: 64G; a bare number is GiB (default: as found)"},
    LOG_LEVEL_OPTION,
    {0},
};

static enum weir_log_level level_of(const struct weir_args *args)
{
    const char *text = weir_args_text(args, "log-level");
    for (int i = 0; text != NULL && levels[i] != NULL; i++) {
        if (weir_streq(levels[i], text)) {
            return (enum weir_log_level)i;
        }
    }
    return WEIR_LOG_NOTICE;
}

int weir_cmd_serve(const struct weir_args *args, struct weir_err *err)
{
    char self[PATH_BYTES_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) {
        return weir_fail(err, weir_error_from_errno(errno), "/proc/self/exe cannot be read: is /proc mounted?");
    }
    self[n] = '\0';
    struct weir_broker_conf conf = {
        .listen = weir_args_text(args, "listen"),
        .data_dir = weir_args_text(args, "data"),
        .config_file = weir_args_text(args, "config"),
        .declare_gpus = weir_args_text(args, "declare-gpus"),
        .tls_cert = weir_args_text(args, "tls-cert"),
        .tls_key = weir_args_text(args, "tls-key"),
        .no_agent = weir_args_has(args, "no-agent"),
        .log_level = level_of(args),
        .self_exe = self,
    };
    /* the agent would refuse it too, but only in the log of a broker that runs on without it */
    WEIR_CLEANUP(weir_str_release) struct weir_str doubt = WEIR_STR_INIT(1024);
    if ((conf.tls_cert == NULL) != (conf.tls_key == NULL)) {
        return weir_fail(err, -WEIR_EINVAL, "options '--tls-cert' and '--tls-key' are wanted both, or neither");
    }
    int r = conf.declare_gpus == NULL ? 0 : weir_agent_check_gpus(conf.declare_gpus, &doubt, err);
    if (doubt.n > 0) {
        weir_talk("option '--declare-gpus': %s", weir_str_cstr(&doubt));
    }
    return r < 0 ? r : weir_broker_main(&conf, err);
}

/* The file's text without space around it; NULL where neither an option nor the variable names one. */
static int read_secret(const struct weir_args *args, char **ret, struct weir_err *err)
{
    const char *file = weir_args_text(args, "token-file");
    if (file == NULL) {
        const char *token = getenv("WEIR_TOKEN");
        *ret = token != NULL && token[0] != '\0' ? weir_strdup(token) : NULL;
        return 0;
    }
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    int r = weir_file_read(file, SECRET_BYTES_MAX, &text, &n, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "option '--token-file'");
    }
    struct weir_sv s = weir_sv_trim((struct weir_sv){text, n});
    *ret = weir_strndup(s.p, s.n);
    return 0;
}

static int read_ca(const struct weir_args *args, char **ret, struct weir_err *err)
{
    const char *file = weir_args_text(args, "ca");
    if (file == NULL) {
        file = getenv("WEIR_CA");
    }
    size_t n = 0;
    *ret = NULL;
    if (file == NULL || file[0] == '\0') {
        return 0;
    }
    int r = weir_file_read(file, CA_BYTES_MAX, ret, &n, err);
    return r < 0 ? weir_fail_prefix(err, r, "the broker's authority") : 0;
}

static int read_size(const struct weir_args *args, struct weir_agent_conf *conf, struct weir_err *err)
{
    const char *cpus = weir_args_text(args, "declare-cpus");
    const char *memory = weir_args_text(args, "declare-memory");
    int64_t milli = 0;
    uint64_t bytes = 0;
    int r = 0;
    if (cpus != NULL) {
        r = weir_parse_decimal(weir_sv_of(cpus), 3, &milli, err);
        if (r == 0 && (milli <= 0 || milli > UINT32_MAX)) {
            r = weir_fail(err, -WEIR_EOVERFLOW, "'%s' is not a number of cores", cpus);
        }
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--declare-cpus'");
        }
        conf->cpu_milli = (uint32_t)milli;
    }
    if (memory != NULL) {
        r = weir_parse_bytes(weir_sv_of(memory), UINT64_C(1) << 30, &bytes, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--declare-memory'");
        }
        conf->mem_mib = bytes >> 20;
    }
    return 0;
}

int weir_cmd_agent(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *token = NULL;
    WEIR_CLEANUP(weir_freep) char *ca = NULL;
    WEIR_CLEANUP(weir_freep) char *url = NULL;
    WEIR_CLEANUP(weir_freep) char *base = weir_default_data_dir();
    struct weir_str dir = WEIR_STR_INIT(PATH_BYTES_MAX);
    weir_str_addf(&dir, "%s/agent", base);
    WEIR_CLEANUP(weir_freep) char *default_dir = weir_str_take(&dir);
    const char *given = weir_args_text(args, "broker");
    struct weir_agent_conf conf = {
        .dir = weir_args_text(args, "data"),
        .name = weir_args_text(args, "name"),
        .pool = weir_args_text(args, "pool"),
        .address = weir_args_text(args, "address"),
        .lease = weir_args_count(args, "lease", 0),
        .lease_expires = weir_args_time(args, "lease-expires"),
        .gpus = weir_args_text(args, "declare-gpus"),
        .notice_path = weir_args_text(args, "notice-file"),
        .notice = weir_args_text(args, "notice"),
    };
    if (conf.notice != NULL) {
        conf.notice_url = getenv(weir_notice_env(conf.notice)); /* the choice is one of weir_notice_kinds */
    }
    int r = weir_client_url_of(given != NULL ? given : weir_args_text(args, "url"), &url, err);
    if (r == 0) {
        r = read_secret(args, &token, err);
    }
    if (r == 0) {
        r = read_ca(args, &ca, err);
    }
    if (r == 0) {
        r = read_size(args, &conf, err);
    }
    if (r < 0) {
        return r;
    }
    const char *power_off[] = {weir_args_text(args, "power-off"), NULL};
    conf.power_off_argv = power_off[0] == NULL ? NULL : power_off;
    conf.url = url;
    conf.token = token;
    conf.ca_pem = ca;
    conf.dir = conf.dir != NULL ? conf.dir : default_dir;
    weir_process_conceal();
    weir_process_hide_secrets();
    weir_log_setup("weir-agent", level_of(args));
    return weir_agent_main(&conf, err);
}
