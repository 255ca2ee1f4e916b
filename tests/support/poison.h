// A vk_table_hook (vk/vk.h) after which new memory that the host can reach holds no zeros: every
// float is NaN, every integer -1. Drivers promise nothing about new memory, yet most clear it, and
// then what a kernel reads that nobody wrote is 0 by luck.
#ifndef TESTS_SUPPORT_POISON_H_
#define TESTS_SUPPORT_POISON_H_

#include "vk/vk.h"

void espy_test_poison(void *user, struct vk_table *table, enum vk_table_part part);

#endif // TESTS_SUPPORT_POISON_H_
