//! The projects.

use crate::fetch::Source;

/// One project: where it comes from, and lines of shell that build and test it.
///
/// The lines run in the sources' folder with `CC`, `CXX` and `PROJECT_CARGO` set to the plain tools or the drivers; they fail by
/// their exit status. `$JOBS` is the number of processors.
#[derive(Clone, Copy, Debug)]
pub struct Project {
    /// Its name.
    pub name: &'static str,
    /// Its pinned origin.
    pub source: Source,
    /// Programs that it needs besides the compiler.
    pub needs: &'static [&'static str],
    /// What gets slots in the short form, so that compiling variants takes seconds; else everything of some size does.
    pub functions: &'static [&'static str],
    /// Builds it with its tests.
    pub build: &'static str,
    /// A part of its tests, for every test run.
    pub short: &'static str,
    /// All of them that run without a network or root.
    pub long: &'static str,
}

/// All projects.
pub const PROJECTS: &[Project] = &[
    Project {
        name: "zlib",
        source: Source::Debian("zlib=1:1.2.13.dfsg-1"),
        needs: &["make"],
        functions: &[
            "deflate",
            "deflate_fast",
            "deflate_slow",
            "deflate_stored",
            "longest_match",
            "fill_window",
            "inflate",
            "inflate_fast",
            "inflate_table",
            "crc32_z",
            "adler32_z",
            "_tr_flush_block",
            "build_tree",
            "gz_write",
            "gz_read",
            "gz_look",
            "deflateInit2_",
            "inflateSync",
        ],
        build: "CFLAGS=-O2 ./configure --static >/dev/null && make -s -j$JOBS example minigzip >/dev/null",
        short: "make -s teststatic",
        long: "make -s teststatic && $CC -O2 -I. -o infcover test/infcover.c libz.a && ./infcover >/dev/null 2>&1 && \
               for level in 1 3 6 9; do ./minigzip -$level <deflate.c | ./minigzip -d | cmp - deflate.c; done",
    },
    Project {
        name: "lz4",
        source: Source::Debian("lz4=1.9.4-1"),
        needs: &["make"],
        functions: &[
            "LZ4_decompress_safe",
            "LZ4_decompress_fast",
            "LZ4_decompress_safe_partial",
            "LZ4_compress_fast_extState",
            "LZ4_compress_fast_continue",
            "LZ4_compress_destSize",
            "LZ4HC_compress_hashChain",
            "LZ4HC_compress_optimal",
            "LZ4F_compressUpdateImpl",
            "LZ4F_decompress",
            "LZ4_loadDict",
            "LZ4_decompress_safe_usingDict",
            "LZ4_decompress_safe_continue",
            "XXH32_update",
            "XXH32_digest",
            "LZ4_XXH32_update",
            "LZ4_XXH32_digest",
            "LZ4_XXH32",
            "LZ4_setStreamDecode",
        ],
        build: "make -s -j$JOBS -C tests fuzzer frametest decompress-partial roundTripTest MOREFLAGS=-w >/dev/null",
        short: "cd tests && ./fuzzer -T4s -s1 >/dev/null 2>&1 && ./frametest -T4s -s1 >/dev/null 2>&1 && \
                ./decompress-partial >/dev/null && ./roundTripTest ../lib/lz4.c >/dev/null",
        long: "cd tests && ./fuzzer -T3mn >/dev/null 2>&1 && ./frametest -T3mn >/dev/null 2>&1 && ./decompress-partial >/dev/null",
    },
    Project {
        name: "zstd",
        source: Source::Debian("libzstd=1.5.4+dfsg2-5"),
        needs: &["make"],
        functions: &[
            "ZSTD_compressBlock_fast",
            "ZSTD_compressBlock_doubleFast",
            "ZSTD_compressBlock_greedy",
            "ZSTD_compressBlock_lazy",
            "ZSTD_compressBlock_lazy2",
            "ZSTD_compressBlock_btlazy2",
            "ZSTD_compressBlock_btopt",
            "ZSTD_compressBlock_btultra",
            "ZSTD_decompressBlock_internal",
            "ZSTD_decompressSequences_default",
            "ZSTD_decodeSeqHeaders",
            "ZSTD_compressStream2",
            "ZSTD_decompressStream",
            "ZSTD_compressContinue_internal",
            "HUF_compress_internal",
            "HUF_buildCTable_wksp",
            "HUF_readDTableX1_wksp_bmi2",
            "FSE_normalizeCount",
            "FSE_buildCTable_wksp",
            "FSE_decompress_wksp_bmi2",
            "ZSTD_loadDictionaryContent",
            "ZSTD_entropyCompressSeqStore",
            "ZSTD_encodeSequences",
            "XXH64",
            "ZSTD_ldm_generateSequences_internal",
        ],
        build: "make -s -j$JOBS -C tests fuzzer zstreamtest MOREFLAGS=-w >/dev/null 2>&1",
        short: "cd tests && ./fuzzer -T6s -s1 >/dev/null 2>&1 && ./zstreamtest -T6s -s1 >/dev/null 2>&1",
        long: "env -u LD_PRELOAD make -s -j$JOBS -C tests invalidDictionaries legacy MOREFLAGS=-w >/dev/null 2>&1 && cd tests && \
               ./fuzzer -T4mn >/dev/null 2>&1 && ./zstreamtest -T4mn >/dev/null 2>&1 && \
               ./zstreamtest --newapi -T2mn >/dev/null 2>&1 && ./invalidDictionaries >/dev/null && ./legacy >/dev/null",
    },
    Project {
        name: "sqlite",
        source: Source::Debian("sqlite3=3.40.1-2+deb12u2"),
        needs: &["make", "tclsh"],
        functions: &[
            "sqlite3BtreeTableMoveto",
            "sqlite3BtreeIndexMoveto",
            "sqlite3BtreeNext",
            "sqlite3BtreeInsert",
            "sqlite3VdbeRecordCompareWithSkip",
            "sqlite3VdbeSerialGet",
            "sqlite3VdbeHalt",
            "sqlite3RunParser",
            "sqlite3GetToken",
            "sqlite3ExprCodeTarget",
            "sqlite3Select",
            "sqlite3WhereBegin",
            "balance_nonroot",
            "accessPayload",
            "pager_write",
            "sqlite3PcacheFetch",
            "sqlite3DbMallocRawNN",
            "sqlite3Malloc",
            "sqlite3_str_vappendf",
            "whereLoopAddBtree",
            "vdbeSorterSort",
            "sqlite3WalFindFrame",
            "patternCompare",
            "resolveExprStep",
            "sqlite3VdbeMemGrow",
            "columnName",
            "sqlite3AtoF",
        ],
        build: "sh ./configure --quiet --disable-shared --with-tcl=/usr/lib/tcl8.6 CFLAGS='-O1 -w' >/dev/null && \
                make -s -j$JOBS testfixture >/dev/null",
        short: "for name in select1 select4 join insert index btree01 expr func date where2 sort trans savepoint like \
                update delete trigger1 view subquery collate1; do ./testfixture test/$name.test >output 2>&1 || { tail -30 output; exit 1; }; done",
        long: "./testfixture test/veryquick.test >output 2>&1 || { tail -60 output; exit 1; }",
    },
    Project {
        name: "jsoncpp",
        source: Source::Debian("libjsoncpp=1.9.5-4"),
        needs: &[],
        functions: &[],
        build: "for unit in json_reader json_value json_writer; do $CXX -std=c++17 -O1 -w -Iinclude -c src/lib_json/$unit.cpp & done; \
                for unit in fuzz jsontest main; do $CXX -std=c++17 -O0 -w -Iinclude -c src/test_lib_json/$unit.cpp & done; \
                wait && $CXX *.o -o jsoncpp_test",
        short: "./jsoncpp_test >/dev/null",
        long: "for round in 1 2 3 4 5 6 7 8 9 10; do ./jsoncpp_test >/dev/null; done",
    },
    Project {
        name: "strsim",
        source: Source::Crate("strsim"),
        needs: &["cargo"],
        functions: &[],
        build: "printf '[workspace]\\n' >>Cargo.toml && \"$PROJECT_CARGO\" test --quiet --offline --release --no-run",
        short: "\"$PROJECT_CARGO\" test --quiet --offline --release --lib --tests",
        long: "for round in 1 2 3 4 5; do \"$PROJECT_CARGO\" test --quiet --offline --release --lib --tests; done",
    },
    Project {
        name: "semver",
        source: Source::Crate("semver"),
        needs: &["cargo"],
        functions: &[],
        // Its benches depend on what nobody here has; its tests on nothing.
        build: "sed -i '/dev-dependencies/,/^$/d' Cargo.toml && printf '[workspace]\\n' >>Cargo.toml && \
                \"$PROJECT_CARGO\" test --quiet --offline --release --no-run",
        short: "\"$PROJECT_CARGO\" test --quiet --offline --release --tests",
        long: "for round in 1 2 3 4 5; do \"$PROJECT_CARGO\" test --quiet --offline --release --tests; done",
    },
    Project {
        name: "regex-syntax",
        source: Source::Crate("regex-syntax"),
        needs: &["cargo"],
        functions: &[],
        build: "printf '[workspace]\\n' >>Cargo.toml && \"$PROJECT_CARGO\" test --quiet --offline --release --no-run --lib",
        short: "",
        long: "for round in 1 2 3; do \"$PROJECT_CARGO\" test --quiet --offline --release --lib; done",
    },
];
