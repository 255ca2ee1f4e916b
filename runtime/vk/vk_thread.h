// The few pieces of threading that the module needs, so that a port changes one file.
#ifndef RUNTIME_VK_VK_THREAD_H_
#define RUNTIME_VK_VK_THREAD_H_

#include <stdbool.h>
#include <stdint.h>

#if defined(_WIN32)
struct vk_mutex {
    void *lock; // an SRWLOCK, which is one pointer; zero is unlocked
};
#else
#include <pthread.h>
struct vk_mutex {
    pthread_mutex_t lock;
};
#endif

enum { VK_WORKERS_MAX = 8 };

// One thread.
struct vk_thread {
    void (*work)(void *user);
    void *user;
#if defined(_WIN32)
    void *handle;
#else
    pthread_t handle;
#endif
};

void espy_vk_mutex_init(struct vk_mutex *mutex);
void espy_vk_mutex_finish(struct vk_mutex *mutex);
void espy_vk_mutex_lock(struct vk_mutex *mutex);
void espy_vk_mutex_unlock(struct vk_mutex *mutex);

uint32_t espy_vk_processors(void);

// Calls work(user) on a thread of its own. The struct must not move. false: there is no thread, and
// none to join.
bool espy_vk_thread_start(struct vk_thread *thread, void (*work)(void *user), void *user);
void espy_vk_thread_join(struct vk_thread *thread);

// Calls work(user) on up to `count` threads at once, the caller's being one of them, and returns
// when all have. Threads that cannot be started are simply missing: work must share out its items
// itself. Capped by the processors there are and by VK_WORKERS_MAX.
void espy_vk_workers_run(uint32_t count, void (*work)(void *user), void *user);

#endif // RUNTIME_VK_VK_THREAD_H_
