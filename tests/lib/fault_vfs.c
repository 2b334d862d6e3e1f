/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_vfs.h"

#include <sqlite3.h>
#include <stddef.h>
#include <string.h>

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind this struct */
};

static sqlite3_vfs vfs;
static sqlite3_vfs *root;
static enum fault_kind kind;
static unsigned left; /* operations until the fault; 0: none comes */
static bool sticky;
static bool hit;

void fault_vfs_arm(enum fault_kind k, unsigned n, bool stay)
{
    kind = k;
    left = n;
    sticky = stay;
    hit = false;
}

bool fault_vfs_hit(void)
{
    return hit;
}

/* SQLITE_OK, or the code with which this operation fails. */
static int fault(int io_code)
{
    if (hit && sticky) {
        return kind == FAULT_FULL ? SQLITE_FULL : io_code;
    }
    if (left == 0 || --left > 0) {
        return SQLITE_OK;
    }
    hit = true;
    return kind == FAULT_FULL ? SQLITE_FULL : io_code;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct fault_file *)(void *)f)->real;
}

static int f_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    int rc = fault(SQLITE_IOERR_WRITE);
    if (rc != SQLITE_OK) {
        /* a part of it reaches the disk, as it may in life */
        (void)real_of(f)->pMethods->xWrite(real_of(f), p, n / 2, at);
        return rc;
    }
    return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int rc = fault(SQLITE_IOERR_TRUNCATE);
    return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
    /* a sync does not run out of space */
    int rc = fault(SQLITE_IOERR_FSYNC);
    (void)f;
    (void)flags;
    /* the process lives on, so what it wrote is there without a sync, and many faults can be tried */
    return rc != SQLITE_OK ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int f_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int f_check_lock(sqlite3_file *f, int *ret)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int f_characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int f_shm_unmap(sqlite3_file *f, int delete_it)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_check_lock,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_characteristics,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)v;
    struct fault_file *f = (struct fault_file *)(void *)file;
    f->base.pMethods = NULL;
    f->real = (sqlite3_file *)(void *)(f + 1);
    int rc = fault(SQLITE_CANTOPEN);
    if (rc == SQLITE_OK) {
        rc = root->xOpen(root, name, f->real, flags, ret_flags);
    }
    if (rc == SQLITE_OK) {
        f->base.pMethods = &methods;
    }
    return rc;
}

void fault_vfs_register(void)
{
    if (root != NULL) {
        return;
    }
    root = sqlite3_vfs_find(NULL);
    vfs = *root;
    vfs.pNext = NULL;
    vfs.zName = FAULT_VFS_NAME;
    vfs.szOsFile = (int)sizeof(struct fault_file) + root->szOsFile;
    vfs.xOpen = v_open;
    (void)sqlite3_vfs_register(&vfs, 0);
}
