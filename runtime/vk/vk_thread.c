#include "vk/vk_thread.h"

#include <assert.h>
#include <stddef.h>

struct worker {
    void (*work)(void *user);
    void *user;
};

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef HANDLE worker_handle;

void espy_vk_mutex_init(struct vk_mutex *mutex)
{
    static_assert(sizeof(SRWLOCK) == sizeof(mutex->lock), "an SRWLOCK is one pointer");
    InitializeSRWLock((SRWLOCK *)&mutex->lock);
}

void espy_vk_mutex_finish(struct vk_mutex *mutex)
{
    (void)mutex;
}

void espy_vk_mutex_lock(struct vk_mutex *mutex)
{
    AcquireSRWLockExclusive((SRWLOCK *)&mutex->lock);
}

void espy_vk_mutex_unlock(struct vk_mutex *mutex)
{
    ReleaseSRWLockExclusive((SRWLOCK *)&mutex->lock);
}

static DWORD WINAPI worker_main(LPVOID parameter)
{
    const struct worker *worker = parameter;
    worker->work(worker->user);
    return 0;
}

static int worker_start(worker_handle *handle, struct worker *worker)
{
    *handle = CreateThread(NULL, 0, worker_main, worker, 0, NULL);
    return *handle != NULL;
}

static void worker_join(worker_handle handle)
{
    WaitForSingleObject(handle, INFINITE);
    CloseHandle(handle);
}

static uint32_t processor_count(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors;
}

#else

#include <unistd.h>

typedef pthread_t worker_handle;

void espy_vk_mutex_init(struct vk_mutex *mutex)
{
    // Cannot fail for a default mutex on the systems there are (POSIX names only lack of memory
    // for implementations that allocate).
    const int result = pthread_mutex_init(&mutex->lock, NULL);
    assert(result == 0);
    (void)result;
}

void espy_vk_mutex_finish(struct vk_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->lock);
}

void espy_vk_mutex_lock(struct vk_mutex *mutex)
{
    const int result = pthread_mutex_lock(&mutex->lock);
    assert(result == 0);
    (void)result;
}

void espy_vk_mutex_unlock(struct vk_mutex *mutex)
{
    const int result = pthread_mutex_unlock(&mutex->lock);
    assert(result == 0);
    (void)result;
}

static void *worker_main(void *parameter)
{
    const struct worker *worker = parameter;
    worker->work(worker->user);
    return NULL;
}

static int worker_start(worker_handle *handle, struct worker *worker)
{
    return pthread_create(handle, NULL, worker_main, worker) == 0;
}

static void worker_join(worker_handle handle)
{
    pthread_join(handle, NULL);
}

static uint32_t processor_count(void)
{
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (uint32_t)count;
}

#endif

void espy_vk_workers_run(uint32_t count, void (*work)(void *user), void *user)
{
    struct worker worker = {.work = work, .user = user};
    worker_handle handles[VK_WORKERS_MAX];
    uint32_t started = 0;
    const uint32_t processors = processor_count();
    count = count < processors ? count : processors;
    count = count < VK_WORKERS_MAX ? count : VK_WORKERS_MAX;
    while (started + 1 < count && worker_start(&handles[started], &worker))
        started++;
    work(user);
    for (uint32_t i = 0; i < started; i++)
        worker_join(handles[i]);
}
