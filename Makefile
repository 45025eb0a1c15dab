# Choir. `make help` lists the targets. Nothing is registered here: a source
# file placed in its folder is found, built, linked and tested.

VERSION  := 0.1.0
SONAME   := libchoir.so.0

BUILD    ?= build
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
# SAN=address,undefined or SAN=thread, always with a BUILD of its own.
SAN      ?=
FUZZ_SECONDS ?= 300

CC       ?= cc
WERROR   ?= -Werror
OPT      ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes $(WERROR)
ifeq ($(SAN),)
HARDEN   := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
HARDEN_LD := -Wl,-z,relro,-z,now
else
HARDEN   := -fsanitize=$(SAN) -fno-sanitize-recover=undefined \
            -fno-omit-frame-pointer
HARDEN_LD := -fsanitize=$(SAN)
endif

# Debian 12 calls it msgpack, newer systems msgpack-c.
MSGPACK  := $(shell pkg-config --exists msgpack-c 2>/dev/null \
              && echo msgpack-c || echo msgpack)
pkg       = $(foreach l,$(2),$(shell pkg-config $(1) $l 2>/dev/null))
PROTO_LIBS  := $(call pkg,--libs,$(MSGPACK) libsodium nettle)
SDK_LIBS    := $(call pkg,--libs,libczmq libzmq) $(PROTO_LIBS)
BROKER_LIBS := $(call pkg,--libs,libconfuse) $(SDK_LIBS)
TOOLS_LIBS  := $(call pkg,--libs,jansson) $(SDK_LIBS)
TEST_LIBS   := $(call pkg,--libs,cmocka jansson) $(BROKER_LIBS)

# Includes name the file from the root: "proto/pack.h", "agent-sdk/choir.h";
# examples and installed programs say <choir.h>.
DEFS     := -D_GNU_SOURCE -DCHOIR_RELEASE='"$(VERSION)"' $(FAILPOINTS)
ALL_CPPFLAGS = -I. -Iagent-sdk $(DEFS) \
  $(PKG_CFLAGS) -MMD -MP $(CPPFLAGS)
PKG_CFLAGS := $(call pkg,--cflags,$(MSGPACK) libsodium nettle \
  libconfuse jansson)
ALL_CFLAGS = -std=gnu11 $(OPT) $(WARN) $(HARDEN) -fPIC -fvisibility=hidden \
  -pthread $(CFLAGS)
ALL_LDFLAGS = $(HARDEN_LD) -pthread $(LDFLAGS)

# What is installed is optimised as a whole when it is linked (LTO= for no), by
# GCC; its objects serve both ways, and tests are linked as they are.
LTO ?= $(if $(SAN)$(FAILPOINTS),,$(shell $(CC) -dumpspecs >/dev/null 2>&1 \
         && echo -flto=auto -ffat-lto-objects))
LTO := $(LTO)

# ---- what there is -------------------------------------------------------

OBJ      := $(BUILD)/obj
objects   = $(patsubst %.c,$(OBJ)/%.o,$(wildcard $(1)))
programs  = $(patsubst %.c,$(BUILD)/%,$(wildcard $(1)))

PROTO    := $(call objects,proto/*.c)
BROKER   := $(filter-out %/main.o,$(call objects,broker/*.c broker/*/*.c))
SDK      := $(call objects,agent-sdk/*.c)
TOOLS    := $(call objects,tools/*.c)
SUPPORT  := $(call objects,tests/support/*.c)
EXAMPLES := $(patsubst agent-sdk/examples/%.c,$(BUILD)/examples/%,\
              $(wildcard agent-sdk/examples/*.c))
TESTS    := $(call programs,$(foreach d,unit sim e2e vectors slow,tests/$d/*.c))
# There a file with a header beside it serves the others; the rest are programs.
BENCH_PARTS := $(patsubst %.h,%.c,$(wildcard tests/bench/*.h))
BENCHES  := $(filter-out $(BENCH_PARTS:%.c=$(BUILD)/%),\
              $(call programs,tests/bench/*.c)) $(BUILD)/tests/bench/choir
PEERS    := $(call programs,tests/bench/peers/*.c)
FUZZ     := $(filter-out replay_main,$(notdir $(basename \
              $(wildcard tests/fuzz/*.c))))
DEMO     := $(if $(SDK),$(BUILD)/demo-agent)
MAN      := $(patsubst docs/man/%.scd,$(BUILD)/man/%,$(wildcard docs/man/*.scd))

CHOIRD   := $(if $(wildcard broker/main.c),$(BUILD)/choird)
CHOIR    := $(if $(wildcard tools/choir.c),$(BUILD)/choir)
LIBCHOIR := $(if $(SDK),$(BUILD)/$(SONAME) $(BUILD)/libchoir.so \
              $(BUILD)/libchoir.a $(BUILD)/choir.pc)
FAILPOINT := $(if $(CHOIRD),failpoint)
PRELOADS := $(patsubst tests/%.c,$(BUILD)/%.so,$(wildcard tests/preload/*.c))

# Parallel unless the caller chose; one program's errors stay together.
ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif
MAKEFLAGS += --output-sync=target
endif

V ?=
say = $(if $(V),,@echo "  $(1)  $(patsubst $(BUILD)/%,%,$@)"; )

# ---- targets -------------------------------------------------------------

.PHONY: help all programs replay failpoint choird demo check check-all asan tsan \
  fuzz fuzz-programs bench bench-peers bench-growth peers \
  vectors fmt lint deps install uninstall clean \
  compile_commands.json
.SECONDARY:
.DELETE_ON_ERROR:

help: ## this list
	@echo "Choir $(VERSION): a broker that remembers, for teams of AI agents."
	@echo
	@sed -nE 's/^([a-z_.-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile \
	  | expand -t 30
	@echo
	@echo "  Variables: PREFIX SYSCONFDIR DESTDIR CC CFLAGS LDFLAGS WERROR= V=1"
	@echo "             BUILD= SAN= LTO="

all: $(PROTO) $(BROKER) $(SDK) $(CHOIRD) $(CHOIR) $(LIBCHOIR) $(EXAMPLES) $(DEMO) $(MAN) ## build everything into build/
	@:

demo: deps ## agents at work without Choir, then with it (DOCS=dir AGENT=cmd)
	@+$(MAKE) --no-print-directory all
	@tools/demo/run

check: deps ## build and run every test, about a minute
	@+$(MAKE) --no-print-directory all programs replay
	@BUILD=$(BUILD) tests/run

check-all: deps ## check, and the long tests
	@+$(MAKE) --no-print-directory all programs replay
	@BUILD=$(BUILD) SLOW=1 tests/run

asan: ## unit and end-to-end tests under ASan and UBSan
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/asan \
	  SAN=address,undefined all programs
	@BUILD=$(BUILD)/asan SAN=address,undefined tests/run unit sim e2e

tsan: ## the same under ThreadSanitizer
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SAN=thread all programs
	@BUILD=$(BUILD)/tsan SAN=thread tests/run unit sim e2e

fuzz: ## libFuzzer on every parser, FUZZ_SECONDS=300 each (needs clang)
	@tools/deps.sh fuzz
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang \
	  SAN=fuzzer-no-link,address,undefined \
	  FUZZ_LINK=-fsanitize=fuzzer FUZZ_MAIN= fuzz-programs
	@BUILD=$(BUILD)/fuzz FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run

bench: all $(BENCHES) $(PRELOADS) ## measure Choir alone, under 5 minutes
	@BUILD=$(BUILD) tests/run --bench
	@BUILD=$(BUILD) node tests/bench/compare.mjs --ours

bench-peers: all $(BENCHES) $(PRELOADS) ## measure it beside Redis, NATS, etcd, PostgreSQL
	-@tools/deps.sh bench-peers
	-@+$(MAKE) --no-print-directory -k peers
	@BUILD=$(BUILD) node tests/bench/compare.mjs

bench-growth: all $(BENCHES) ## how puts slow down with keys, agents, watches
	@BUILD=$(BUILD) node tests/bench/growth.mjs

peers: $(PEERS)
	@:

vectors: programs ## make proto/vectors and the tables of proto/README.md anew
	@$(BUILD)/tests/vectors/committed --write
	@$(BUILD)/tests/vectors/readme --write

fmt: ## format the C sources
	@git ls-files -z '*.c' '*.h' | xargs -0r clang-format -i

lint: ## formatting, floors, shell scripts; changes nothing
	@! git ls-files -z '*.c' '*.h' | xargs -0r clang-format --dry-run 2>&1 \
	  | sed -nE 's/^([^ :]+):[0-9]+:.*/make fmt would change \1/p' | sort -u \
	  | grep .
	@tests/layers.sh
	@if command -v shellcheck >/dev/null; then \
	  git ls-files -z '*.sh' tests/run tests/fuzz/run .ci/run \
	  | xargs -0r shellcheck; fi

deps: ## install what the build needs (Debian), or say what is missing
	@tools/deps.sh

compile_commands.json: ## for editors and clang tools (needs bear)
	@command -v bear >/dev/null || { echo "bear is not installed"; exit 1; }
	bear --output $@ -- $(MAKE) -B all programs

clean: ## remove build/
	rm -rf $(BUILD)

# ---- how things are made -------------------------------------------------

$(OBJ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(AS_A_WHOLE) -c -o $@ $<
$(PROTO) $(BROKER) $(SDK) $(OBJ)/broker/main.o: AS_A_WHOLE = $(LTO)

# Tests poke at edges: conversions there are deliberate.
$(OBJ)/tests/%.o: WARN += -Wno-conversion -Wno-missing-prototypes

$(BUILD)/libproto.a: $(PROTO)
$(BUILD)/libbroker.a: $(BROKER)
$(BUILD)/libsdk.a: $(SDK)
$(BUILD)/libtools.a: $(TOOLS)
$(BUILD)/libsupport.a: $(SUPPORT)
$(BUILD)/libbench.a: $(BENCH_PARTS:%.c=$(OBJ)/%.o)
$(BUILD)/libproto.a $(BUILD)/libbroker.a $(BUILD)/libsdk.a \
$(BUILD)/libtools.a $(BUILD)/libsupport.a $(BUILD)/libbench.a:
	@mkdir -p $(@D); rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

link = $(call say,LD)mkdir -p $(@D); $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) \
  $(if $(LTO),$(or $(LINK_AS),-fno-lto)) -o $@
# A message's fields are read only where its mask has them, which it does not see.
$(BUILD)/choird $(BUILD)/$(SONAME) $(BUILD)/tests/bench/choir: \
  LINK_AS = $(LTO) -Wno-maybe-uninitialized

$(BUILD)/choird: $(OBJ)/broker/main.o $(BUILD)/libbroker.a $(BUILD)/libproto.a
	$(link) $^ $(BROKER_LIBS)

# The tools see only what choir.h exports: libchoir.a hides the rest.
$(BUILD)/choir: $(TOOLS) $(BUILD)/libchoir.a $(BUILD)/libproto.a
	$(link) $^ $(TOOLS_LIBS)

SDK_MAP := $(wildcard agent-sdk/libchoir.map)
$(BUILD)/$(SONAME): $(SDK) $(PROTO) $(SDK_MAP)
	$(link) -shared -Wl,-soname,$(SONAME) $(if $(SAN),,-Wl,-z$(,)defs) \
	  $(SDK_MAP:%=-Wl,--version-script=%) $(SDK) $(PROTO) $(SDK_LIBS)
, := ,

$(BUILD)/libchoir.so: $(BUILD)/$(SONAME)
	@ln -sf $(SONAME) $@

$(BUILD)/libchoir.a: $(SDK) $(PROTO)
	@mkdir -p $(@D); rm -f $@
	$(call say,AR)$(LD) -r -o $(BUILD)/libchoir.o $^ && \
	  objcopy --localize-hidden -w -R '.gnu.lto_*' -R '.gnu.debuglto_*' \
	    $(BUILD)/libchoir.o && \
	  $(AR) rcs $@ $(BUILD)/libchoir.o

$(BUILD)/choir.pc: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' \
	  'includedir=$${prefix}/include' '' 'Name: choir' \
	  'Description: client library of the Choir broker' \
	  'Version: $(VERSION)' \
	  'Requires.private: libczmq libzmq libsodium nettle $(MSGPACK)' \
	  'Libs: -L$${libdir} -lchoir' 'Cflags: -I$${includedir}' >$@

$(EXAMPLES): $(BUILD)/examples/%: $(OBJ)/agent-sdk/examples/%.o \
  $(BUILD)/$(SONAME) $(BUILD)/libchoir.so
	$(link) $< -L$(BUILD) -lchoir -Wl,-rpath,'$$ORIGIN/..'

# The demo's agent in C; the others need no building.
$(BUILD)/demo-agent: $(call objects,tools/demo/*.c) $(BUILD)/$(SONAME) \
  $(BUILD)/libchoir.so
	$(link) $(filter %.o,$^) -L$(BUILD) -lchoir -Wl,-rpath,'$$ORIGIN' \
	  $(call pkg,--libs,jansson)

# A test may use anything: internals of every part, and tests/support.
TEST_ARCHIVES := $(foreach l,support bench tools sdk broker proto,\
                   $(BUILD)/lib$l.a)
group = -Wl,--start-group $(TEST_ARCHIVES) -Wl,--end-group

$(TESTS) $(BENCHES): $(BUILD)/%: $(OBJ)/%.o $(TEST_ARCHIVES)
	$(link) $(filter %.o,$^) $(group) $(TEST_LIBS)

# This one brings its own disk, which takes the place of the kernel's calls,
# and mistakes that take the place of the broker's functions.
$(BUILD)/tests/sim/world: $(call objects,tests/sim/world/*.c \
  tests/mutants/*.c)
$(BUILD)/tests/sim/world: ALL_LDFLAGS += $(MUTANT_WRAP)
MUTANT_WRAP := $(shell sed -nE \
  's/^REAL.([^,]*), (\w+),.*/-Wl,--wrap=\2/p' tests/mutants/*.c)

# Our contender in the benchmarks is several files. Its peers are what they
# are linked with; only bench-peers makes them.
$(OBJ)/tests/bench/choir.o: $(call objects,tests/bench/choir/*.c)
	$(call say,LD)$(LD) -r -o $@ $^
PEERS_LIBS = $(call pkg,--libs,hiredis libnats libnghttp2 libpq libzmq \
               libsodium)
$(PEERS): $(BUILD)/%: $(OBJ)/%.o $(BUILD)/libbench.a
	$(link) -Wl,--as-needed $^ $(PEERS_LIBS)

# The broker with the mistake that CHOIR_MUTANT names.
MUTANT := $(BUILD)/mutant/choird
$(MUTANT): $(OBJ)/broker/main.o $(call objects,tests/mutants/*.c) \
  $(BUILD)/libbroker.a $(BUILD)/libproto.a
	$(link) $(MUTANT_WRAP) $^ $(BROKER_LIBS)

programs: $(TESTS) $(BENCHES) $(FAILPOINT) $(PRELOADS) $(MUTANT)
	@:

# What tests put between a program and its system; never with a sanitizer.
$(PRELOADS): $(BUILD)/%.so: tests/%.c Makefile
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CPPFLAGS) -std=gnu11 $(OPT) $(WARN) \
	  -Wno-missing-prototypes -fPIC -shared -o $@ $< -ldl

# The broker that dies on command, for the crash tests: build/failpoint/choird
failpoint:
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/failpoint \
	  FAILPOINTS=-DCHOIR_FAILPOINTS choird
choird: $(CHOIRD)
	@:

# Without clang every fuzz target still replays its corpus, under sanitizers.
replay:
	@+$(MAKE) --no-print-directory BUILD=$(BUILD)/replay \
	  SAN=address,undefined fuzz-programs

fuzz-programs: $(FUZZ:%=$(BUILD)/%)
	@:
FUZZ_MAIN := $(OBJ)/tests/fuzz/replay_main.o
FUZZ_LINK :=
$(FUZZ:%=$(BUILD)/%): $(BUILD)/%: $(OBJ)/tests/fuzz/%.o $(FUZZ_MAIN) \
  $(TEST_ARCHIVES)
	$(link) $(FUZZ_LINK) $< $(FUZZ_MAIN) $(group) $(TEST_LIBS)

$(BUILD)/man/%: docs/man/%.scd
	@mkdir -p $(@D)
	$(call say,MAN)scdoc <$< >$@

# ---- installation --------------------------------------------------------

TO   = $(DESTDIR)$(PREFIX)
CONF = $(DESTDIR)$(SYSCONFDIR)/choir/choird.conf
put = $(if $(wildcard $(2)),install -D -m $(1) $(2) $(3),true)

install: all ## into PREFIX=/usr/local, under DESTDIR
	$(call put,755,$(CHOIRD),$(TO)/bin/choird)
	$(call put,755,$(CHOIR),$(TO)/bin/choir)
	$(if $(SDK),install -D -m 755 $(BUILD)/$(SONAME) $(TO)/lib/$(SONAME))
	$(if $(SDK),ln -sf $(SONAME) $(TO)/lib/libchoir.so)
	$(if $(SDK),install -D -m 644 $(BUILD)/libchoir.a $(TO)/lib/libchoir.a)
	$(if $(SDK),sed 's|^prefix=.*|prefix=$(PREFIX)|' $(BUILD)/choir.pc \
	  | install -D -m 644 /dev/stdin $(TO)/lib/pkgconfig/choir.pc)
	$(call put,644,agent-sdk/choir.h,$(TO)/include/choir.h)
	sed 's|/usr/local/bin|$(PREFIX)/bin|; s|/etc/choir|$(SYSCONFDIR)/choir|' \
	  broker/choird.service \
	  | install -D -m 644 /dev/stdin $(TO)/lib/systemd/system/choird.service
	@[ -e $(CONF) ] || install -D -m 644 broker/choird.conf $(CONF)
	$(call put,644,broker/choird.conf,$(TO)/share/doc/choir/choird.conf)
	@for page in $(notdir $(MAN)); do \
	  install -D -m 644 $(BUILD)/man/$$page \
	    $(TO)/share/man/man$${page##*.}/$$page; done
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

uninstall: ## remove what install put there; data and configuration stay
	rm -f $(TO)/bin/choird $(TO)/bin/choir $(TO)/lib/$(SONAME) \
	  $(TO)/lib/libchoir.so $(TO)/lib/libchoir.a \
	  $(TO)/lib/pkgconfig/choir.pc $(TO)/include/choir.h \
	  $(TO)/lib/systemd/system/choird.service \
	  $(TO)/share/doc/choir/choird.conf
	@for page in $(notdir $(MAN)); do \
	  rm -f $(TO)/share/man/man$${page##*.}/$$page; done

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
