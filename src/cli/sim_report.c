/* SPDX-License-Identifier: Apache-2.0 */

#include "sim_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/digest.h"
#include "output.h"
#include "sim/report.h"

enum { COMMAND_BYTES_MAX = 16384 };

static int fail_errno(const char *path, struct weir_err *err)
{
    int code = weir_error_from_errno(errno);
    return weir_fail(err, code, "--report: %s: %s", path, weir_error_text(code));
}

int weir_sim_page_open(struct weir_sim_page *p, const char *path, struct weir_err *err)
{
    *p = (struct weir_sim_page){.path = path, .fd = -1};
    if (path == NULL) {
        return 0;
    }
    struct stat st;
    bool there = lstat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode)) {
        return weir_fail(err, -WEIR_EINVAL, "--report: %s is a directory: name a file", path);
    }
    if (!there || (S_ISREG(st.st_mode) && access(path, W_OK) == 0)) {
        WEIR_CLEANUP(weir_str_release) struct weir_str part = WEIR_STR_INIT(4096);
        weir_str_addf(&part, "%s.part", path);
        WEIR_CLEANUP(weir_closep) int fd = part.overflowed ? -1 : open(weir_str_cstr(&part), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd >= 0) {
            (void)unlink(weir_str_cstr(&part));
            p->part = weir_str_take(&part);
            return 0;
        }
        if (!there) {
            return fail_errno(path, err);
        }
    }
    p->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666); /* a link may lead where nothing is yet */
    return p->fd < 0 ? fail_errno(path, err) : 0;
}

/* A word as a shell takes it. */
static void add_word(struct weir_str *out, const char *word)
{
    bool plain = word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.,:/=@%")] == '\0';
    if (plain) {
        weir_str_adds(out, word);
        return;
    }
    weir_str_addc(out, '\'');
    for (const char *c = word; *c != '\0'; c++) {
        if (*c == '\'') {
            weir_str_adds(out, "'\\''");
        } else {
            weir_str_addc(out, *c);
        }
    }
    weir_str_addc(out, '\'');
}

/* The command as it can be given again; where the report goes is no part of what was asked. */
static void write_command(struct weir_str *out, const struct weir_args *args)
{
    weir_str_adds(out, "weir sim");
    for (size_t i = 0; i < args->n_values; i++) {
        const struct weir_arg_value *v = &args->value[i];
        if (weir_streq(v->opt->name, "report") || weir_streq(v->opt->name, "json")) {
            continue;
        }
        weir_str_addf(out, " --%s", v->opt->name);
        if (v->opt->kind != WEIR_OPT_FLAG) {
            weir_str_addc(out, ' ');
            add_word(out, v->text);
        }
    }
}

static int write_all(int fd, const char *path, struct weir_sv bytes, struct weir_err *err)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0) {
        return fail_errno(path, err);
    }
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR) {
            return fail_errno(path, err);
        }
        bytes.p += n > 0 ? n : 0;
        bytes.n -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Beside its place first, so that what stands there is always whole. */
static int put_page(const struct weir_sim_page *p, struct weir_sv bytes, struct weir_err *err)
{
    if (p->part == NULL) {
        return write_all(p->fd, p->path, bytes, err);
    }
    WEIR_CLEANUP(weir_closep) int fd = open(p->part, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    int r = fd < 0 ? fail_errno(p->part, err) : write_all(fd, p->part, bytes, err);
    if (r == 0 && rename(p->part, p->path) != 0) {
        r = fail_errno(p->path, err);
    }
    if (r < 0) {
        (void)unlink(p->part);
    }
    return r;
}

int weir_sim_page_write(const struct weir_sim_page *p, const struct weir_args *args, const struct weir_sim_result *result,
                        const struct weir_sim_inputs *inputs, struct weir_err *err)
{
    struct weir_sim_report_input input[WEIR_SIM_INPUTS_MAX];
    if (p->path == NULL) {
        return 0;
    }
    for (size_t i = 0; i < inputs->n; i++) {
        input[i].path = inputs->path[i];
        int r = weir_sha256_file(input[i].path, input[i].sha256, &input[i].bytes, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "--report");
        }
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str command = WEIR_STR_INIT(COMMAND_BYTES_MAX);
    WEIR_CLEANUP(weir_str_release) struct weir_str page = WEIR_STR_INIT(WEIR_SIM_REPORT_BYTES_MAX);
    write_command(&command, args);
    const struct weir_sim_report report = {
        .result = result,
        .command = weir_str_cstr(&command),
        .seed = weir_args_has(args, "seed") ? weir_args_text(args, "seed") : weir_args_text(args, "seeds"),
        .input = input,
        .n_inputs = inputs->n,
    };
    weir_sim_report_html(&report, &page);
    if (page.overflowed) {
        return weir_fail(err, -WEIR_ELIMIT, "--report: the page would be larger than %d MiB: ask for less at once",
                         WEIR_SIM_REPORT_BYTES_MAX >> 20);
    }
    return put_page(p, weir_str_sv(&page), err);
}

void weir_sim_page_close(struct weir_sim_page *p)
{
    weir_freep(&p->part);
    weir_closep(&p->fd);
}
