#include "vk/vk_thread.h"

#include <assert.h>
#include <stddef.h>

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

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

static DWORD WINAPI thread_main(LPVOID parameter)
{
    const struct vk_thread *thread = parameter;
    thread->work(thread->user);
    return 0;
}

static bool start(struct vk_thread *thread)
{
    thread->handle = CreateThread(NULL, 0, thread_main, thread, 0, NULL);
    return thread->handle != NULL;
}

void espy_vk_thread_join(struct vk_thread *thread)
{
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

uint32_t espy_vk_processors(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors;
}

#else

#include <unistd.h>

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

static void *thread_main(void *parameter)
{
    const struct vk_thread *thread = parameter;
    thread->work(thread->user);
    return NULL;
}

static bool start(struct vk_thread *thread)
{
    return pthread_create(&thread->handle, NULL, thread_main, thread) == 0;
}

void espy_vk_thread_join(struct vk_thread *thread)
{
    pthread_join(thread->handle, NULL);
}

uint32_t espy_vk_processors(void)
{
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (uint32_t)count;
}

#endif

bool espy_vk_thread_start(struct vk_thread *thread, void (*work)(void *user), void *user)
{
    *thread = (struct vk_thread){.work = work, .user = user};
    return start(thread);
}

void espy_vk_workers_run(uint32_t count, void (*work)(void *user), void *user)
{
    struct vk_thread threads[VK_WORKERS_MAX];
    uint32_t started = 0;
    const uint32_t processors = espy_vk_processors();
    count = count < processors ? count : processors;
    count = count < VK_WORKERS_MAX ? count : VK_WORKERS_MAX;
    while (started + 1 < count) {
        threads[started] = (struct vk_thread){.work = work, .user = user};
        if (!start(&threads[started]))
            break;
        started++;
    }
    work(user);
    for (uint32_t i = 0; i < started; i++)
        espy_vk_thread_join(&threads[i]);
}
