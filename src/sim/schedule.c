/* SPDX-License-Identifier: Apache-2.0 */

#include "schedule.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/str.h"
#include "cloud/csv.h"

enum { ID_BYTES_MAX = 1024 };

struct weir_sim_schedule {
    FILE *file;
    char *path;
    char *part; /* what is written stands there before it is whole */
    bool nameless; /* it has no name yet: it goes with this process */
    bool begun; /* the first line is written */
    bool named;
};

/* A file without a name, so that nothing is left of a run that is broken off; beside its place where the file system knows no such. */
static FILE *open_part(const char *dir, const char *part, bool *ret_nameless)
{
    int fd = access("/proc/self/fd", X_OK) == 0 ? open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666) : -1;
    *ret_nameless = fd >= 0;
    fd = fd >= 0 ? fd : open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL && fd >= 0) {
        (void)close(fd);
    }
    return file;
}

int weir_sim_schedule_open(struct weir_sim_schedule **ret, const char *dir, const char *name, struct weir_err *err)
{
    *ret = NULL;
    if (dir == NULL) {
        return 0;
    }
    struct stat st;
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        return weir_fail(err, weir_error_from_errno(errno), "--schedule: the folder %s cannot be made", dir);
    }
    if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode)) {
        return weir_fail(err, -WEIR_EINVAL, "--schedule: %s is no folder: name one, or one to be made", dir);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_addf(&path, "%s/", dir);
    for (const char *p = name; *p != '\0'; p++) {
        bool keep = isalnum((unsigned char)*p) || *p == '.' || *p == '-' || *p == '_';
        weir_str_addc(&path, keep ? *p : '_');
    }
    weir_str_adds(&path, ".csv");
    if (stat(weir_str_cstr(&path), &st) == 0 && S_ISDIR(st.st_mode)) {
        return weir_fail(err, -WEIR_EINVAL, "--schedule: %s is a folder: move it away", weir_str_cstr(&path));
    }
    struct weir_sim_schedule s = {.path = weir_str_take(&path)};
    WEIR_CLEANUP(weir_str_release) struct weir_str part = WEIR_STR_INIT(4096);
    weir_str_addf(&part, "%s.part", s.path);
    s.part = weir_str_take(&part);
    s.file = open_part(dir, s.part, &s.nameless);
    if (s.file == NULL) {
        int r = weir_fail(err, weir_error_from_errno(errno), "--schedule: %s cannot be written", s.path);
        free(s.path);
        free(s.part);
        return r;
    }
    *ret = weir_alloc(sizeof **ret);
    **ret = s;
    return 0;
}

void weir_sim_schedule_name_tasks(struct weir_sim_schedule *s)
{
    if (s != NULL) {
        WEIR_ASSERT(!s->begun);
        s->named = true;
    }
}

static void begin(struct weir_sim_schedule *s)
{
    if (!s->begun) {
        fprintf(s->file, "task,submit,start,end,place,node,gpus,cost%s\n", s->named ? ",id" : "");
        s->begun = true;
    }
}

void weir_sim_schedule_add(struct weir_sim_schedule *s, const struct weir_sim_span *span)
{
    if (s == NULL) {
        return;
    }
    begin(s);
    fprintf(s->file, "%llu,%.15g,%.15g,%.15g,%s,", (unsigned long long)span->task, span->submit, span->start, span->end,
            span->place);
    if (span->node >= 0) {
        fprintf(s->file, "%lld", (long long)span->node);
    }
    fprintf(s->file, ",%.15g,%.15g", span->gpus, span->cost);
    if (s->named) {
        WEIR_CLEANUP(weir_str_release) struct weir_str id = WEIR_STR_INIT(ID_BYTES_MAX);
        weir_csv_write_field(&id, weir_sv_of(span->id == NULL ? "" : span->id));
        fprintf(s->file, ",%s", weir_str_cstr(&id));
    }
    fputc('\n', s->file);
}

/* A file without a name gets that of its part. */
static int name_part(const struct weir_sim_schedule *s)
{
    char open_file[40];
    if (!s->nameless) {
        return 0;
    }
    snprintf(open_file, sizeof open_file, "/proc/self/fd/%d", fileno(s->file));
    (void)unlink(s->part); /* of a run that was killed */
    return linkat(AT_FDCWD, open_file, AT_FDCWD, s->part, AT_SYMLINK_FOLLOW);
}

static void release(struct weir_sim_schedule *s)
{
    free(s->path);
    free(s->part);
    free(s);
}

int weir_sim_schedule_close(struct weir_sim_schedule *s, struct weir_err *err)
{
    if (s == NULL) {
        return 0;
    }
    int r = 0;
    begin(s);
    bool bad = ferror(s->file) != 0 || fflush(s->file) != 0 || name_part(s) != 0;
    if (fclose(s->file) != 0 || bad) {
        r = weir_fail(err, errno == ENOSPC ? -WEIR_ENOSPACE : -WEIR_EIO,
                      "--schedule: %s cannot be written whole: is the disk full?", s->path);
    } else if (rename(s->part, s->path) != 0) {
        r = weir_fail(err, weir_error_from_errno(errno), "--schedule: %s cannot be written: %s", s->path, strerror(errno));
    }
    if (r < 0) {
        (void)unlink(s->part);
    }
    release(s);
    return r;
}

void weir_sim_schedule_drop(struct weir_sim_schedule *s)
{
    if (s == NULL) {
        return;
    }
    (void)fclose(s->file);
    if (!s->nameless) {
        (void)unlink(s->part);
    }
    release(s);
}
