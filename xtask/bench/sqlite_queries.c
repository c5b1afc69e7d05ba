/* SQLite: rows go into a database in memory, are found, joined, sorted and changed. */
#include "harness.h"
#include "sqlite3.h"

enum { ROWS = 1000 };

static sqlite3 *database;

static void execute(const char *statement)
{
    char *message = NULL;
    if (sqlite3_exec(database, statement, NULL, NULL, &message) != SQLITE_OK)
        wrong(message);
}

static sqlite3_int64 number(const char *query)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(database, query, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        wrong(sqlite3_errmsg(database));
    sqlite3_int64 value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static void insert(unsigned salt)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(database, "INSERT INTO item VALUES(?, ?, ?)", -1, &statement, NULL) != SQLITE_OK)
        wrong(sqlite3_errmsg(database));
    for (int row = 0; row < ROWS; row++) {
        char name[32];
        snprintf(name, sizeof name, "name %u", ((unsigned)row + salt) * 2654435761u % 100003u);
        sqlite3_bind_int(statement, 1, row);
        sqlite3_bind_int(statement, 2, row * 7 % (ROWS / 5));
        sqlite3_bind_text(statement, 3, name, -1, SQLITE_TRANSIENT);
        if (sqlite3_step(statement) != SQLITE_DONE)
            wrong(sqlite3_errmsg(database));
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
}

static void prepare(void)
{
    if (sqlite3_open(":memory:", &database) != SQLITE_OK)
        wrong("no database");
    execute("CREATE TABLE item(id INTEGER PRIMARY KEY, shelf INTEGER, name TEXT)");
    execute("CREATE INDEX by_shelf ON item(shelf)");
}

static uint64_t work(unsigned salt)
{
    execute("BEGIN");
    execute("DELETE FROM item");
    insert(salt);
    execute("COMMIT");
    sqlite3_int64 pairs = number("SELECT count(*) FROM item a JOIN item b ON a.shelf = b.shelf");
    if (pairs != ROWS * 5)
        wrong("the join");
    uint64_t digest = digest_word(1, (uint64_t)pairs);
    digest = digest_word(
        digest, (uint64_t)number("SELECT sum(length(name) * id) FROM (SELECT name, id FROM item ORDER BY name, id)"));
    execute("UPDATE item SET shelf = shelf + 1 WHERE id % 3 = 0");
    digest = digest_word(
        digest, (uint64_t)number("SELECT sum(id) FROM item WHERE name LIKE '%77%' OR shelf BETWEEN 20 AND 30"));
    return digest_word(digest, (uint64_t)number("SELECT sum(shelf * id) + avg(shelf) * 1000 FROM item"));
}

static void unit(void) { work(0); }

static uint64_t check(uint64_t seed) { return work((unsigned)(random_next(&seed) % 100000)); }
