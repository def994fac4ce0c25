#include "mapsort/worker_threads.hpp"

#include <condition_variable> // for std::condition_variable
#include <cstdlib>            // for std::malloc
#include <exception>          // for std::exception, std::uncaught_exceptions
#include <mutex>              // for std::mutex
#include <new>                // for placement new
#include <pthread.h>          // for pthread_atfork
#include <thread>             // for std::thread

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Work that waits for threads or runs on them; it lives on the stack of the thread that asked.
struct Task {
  Task(void (*to_call)(void*), void* with, int helpers)
      : work(to_call), context(with), wanted(helpers) {}

  void (*work)(void*);
  void* context;
  int wanted;      // calls that no thread has begun
  int running = 0; // calls begun and not ended, the asking thread's own apart
  std::condition_variable ended;
  Task* next = nullptr;
};

/// Have the C library make this thread's part of the memory that exceptions need, which it does at
/// their first use, and where it finds none for that, ends the process. False if there is none.
bool ready_for_exceptions() {
  constexpr std::size_t kEnough = 1 << 16;
  void* volatile memory = std::malloc(kEnough);
  if (memory == nullptr)
    return false;
  std::free(memory);
  return std::uncaught_exceptions() == 0;
}

/// Threads that sleep until there is a task; made when they are first needed, never ended.
class Pool {
public:
  void run(Task& task) {
    offer(task);
    task.work(task.context);
    std::unique_lock lock(mutex_);
    withdraw(task);
    task.ended.wait(lock, [&] { return task.running == 0; });
  }

private:
  void offer(Task& task) {
    {
      const std::scoped_lock lock(mutex_);
      wanted_ += task.wanted;
      while (idle_ < wanted_ && start_thread())
        ++idle_;
      Task** last = &first_;
      while (*last != nullptr)
        last = &(*last)->next;
      *last = &task;
    }
    wake_.notify_all();
  }

  /// The asking thread is through, so nothing is left for calls that have not begun.
  void withdraw(Task& task) {
    wanted_ -= task.wanted;
    task.wanted = 0;
    for (Task** at = &first_; *at != nullptr; at = &(*at)->next)
      if (*at == &task) {
        *at = task.next;
        return;
      }
  }

  bool start_thread() {
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::exception&) { // no thread or no memory: those that are there do the work
      return false;
    }
    return true;
  }

  void serve() {
    const bool ready = ready_for_exceptions();
    std::unique_lock lock(mutex_);
    if (!ready) {
      --idle_;
      return;
    }
    while (true) {
      wake_.wait(lock, [this] { return first_ != nullptr; });
      Task& task = *first_;
      if (--task.wanted == 0)
        first_ = task.next;
      --wanted_;
      --idle_;
      ++task.running;
      lock.unlock();
      task.work(task.context);
      lock.lock();
      ++idle_;
      if (--task.running == 0)
        task.ended.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  Task* first_ = nullptr; // the queue
  int wanted_ = 0;        // calls of the queue that no thread has begun
  int idle_ = 0;          // threads that run no task
};

/// The pool's place: never destroyed, since its threads wait in it to the end of the process.
alignas(Pool) unsigned char place[sizeof(Pool)];

Pool& pool() {
  static Pool* const made = [] {
    // a forked child has none of the threads, and whoever held the mutex is gone: a new pool
    pthread_atfork(nullptr, nullptr, [] { new (place) Pool; });
    return new (place) Pool;
  }();
  return *made;
}

} // namespace

void on_threads(int helpers, void (*work)(void*), void* context) {
  if (helpers < 1) {
    work(context);
    return;
  }
  Task task(work, context, helpers);
  pool().run(task);
}

} // namespace mapsort::inline MAPSORT_ISA
