#include "engine.h"
long plain(long n) { return used(n) - n; }
