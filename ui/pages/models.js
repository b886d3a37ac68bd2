// The Models page. What a person has opened lives here alone: every drawing says for which state it was made, and one
// that comes late, for another state, is asked for again. A running download's bar and words are renewed in place, so
// that its buttons are not replaced under the pointer.

const modelsPage = {
    // of the list: "how many:the file whose deletion is to be confirmed"; of what can be had: "ENTRY" or "ENTRY/KIND"
    state: {list: ":", shelf: new URLSearchParams(window.location.search).get("get") ?? ""},
    only: new Set(),    // what the cards are narrowed down to
    pressed: null,      // the button; isStep: not a type, but what is done with it; kept: what has the focus in its place
    kept: null,
    isStep: false,
    isToShow: new URLSearchParams(window.location.search).has("get"),       // the open card is to be scrolled to
    isBegun: false,     // a download was asked for, whose row is to be scrolled to

    click(event, trigger) {
        const chip = event.target.closest("[data-only]");
        if (chip) {
            if (!this.only.delete(chip.dataset.only)) this.only.add(chip.dataset.only);
            this.narrow(chip.closest("[data-state]"));
        }
        const target = event.target.closest("[data-act]");
        if (!target || event.detail > 1) return;        // the second half of a double click
        this.press(target);
        const said = {...target.dataset}, {act, key, entry, kind} = said;
        this.isToShow ||= target.closest("#recommended") !== null;
        this.isBegun = act === "get";
        const which = target.closest("[data-state]")?.dataset.of;
        if (which === "list") {
            const most = act === "rest" ? "all" : this.state.list.split(":")[0];
            this.state.list = `${most}:${act === "ask" ? key : ""}`;
        } else if (which === "shelf") {
            this.open(act === "close" ? "" : act !== "get" && kind ? `${entry}/${kind}` : entry);
        }
        trigger("click", {...said, state: this.state[which] ?? this.state.shelf});
    },

    // a repository is asked for by name; the address of its page does as well
    look(event, element, trigger) {
        const field = element.querySelector("input"), problem = element.querySelector(".problem");
        if (event.type === "keydown" ? event.target !== field || event.key !== "Enter"
                                     : !event.target.closest("[data-act]") || event.detail > 1) return;
        const said = field.value.trim().replace(/^(https?:\/\/)?([\w-]+\.)?(huggingface\.co|hf\.co)\//i, "");
        const [, owner, name] = /^([\w.-]+)\/([\w.-]+)/.exec(said) ?? [];
        problem.textContent = name ? "" : "Write it as OWNER/NAME, as the hub does: unsloth/gemma-3-4b-it-GGUF.";
        if (!name) return field.focus();
        this.press(element.querySelector("[data-act]"));
        this.isToShow = true;
        this.open(`hub:${owner}:${name}/files`);
        trigger("click", {act: "look", state: this.state.shelf});
    },

    // a reload finds the same card open
    open(shelf) {
        this.state.shelf = shelf;
        const url = new URL(window.location.href);
        if (shelf) url.searchParams.set("get", shelf); else url.searchParams.delete("get");
        window.history.replaceState(null, "", url);
    },

    drawn(element, trigger) {
        const shown = element.querySelector("[data-state]"), now = this.state[shown?.dataset.of];
        if (shown && shown.dataset.state !== now) trigger("click", {act: "again", state: now});
        if (shown?.dataset.of === "shelf") this.narrow(shown);
        const row = this.isBegun ? element.querySelector("li[data-run]") : null;
        if (row) {
            this.isBegun = false;
            element.scrollIntoView();
            this.pressed = null;
            row.querySelector("button")?.focus({preventScroll: true});
        }
        this.keepFocus(element);
        const open = shown?.dataset.state === now ? element.querySelector(".offers li.open") : null;
        if (!open || !this.isToShow) return;
        this.isToShow = false;
        open.scrollIntoView();
        if (this.pressed) (open.querySelector(".choices [aria-pressed=true]") ?? open.querySelector(".choices button, button"))
            ?.focus({preventScroll: true});
    },

    // the cards that have all that is asked for, and the open one
    narrow(shelf) {
        for (const chip of shelf.querySelectorAll("[data-only]")) {
            chip.setAttribute("aria-pressed", this.only.has(chip.dataset.only));
        }
        const cards = [...shelf.querySelectorAll(".offers > li")];
        const fitting = cards.filter(({classList}) => [...this.only].every((one) => classList.contains(one)));
        for (const card of cards) card.hidden = !fitting.includes(card) && !card.classList.contains("open");
        const count = shelf.querySelector(".narrow [role=status]");
        if (count) count.textContent = this.only.size ? `${fitting.length} of ${cards.length}` : "";
    },

    press(target) {
        this.pressed = target;
        this.isStep = target.parentElement.matches(".choices");
    },

    // what was pressed is another element now: the keyboard goes on where it was, or at the step that came in its place
    keepFocus(element) {
        const at = document.activeElement;
        if (!this.pressed || this.pressed.isConnected || (at !== document.body && at !== this.kept)) return;
        const {act, entry, kind, run, key} = this.pressed.dataset;
        const same = [...element.querySelectorAll("[data-act]")].filter(({dataset}) => dataset.entry === entry
            && dataset.run === run && dataset.key === key && (entry || run || key));
        const inPlace = [
            (one) => act === "keep" && one.dataset.act === "ask",
            (one) => this.isStep && one.parentElement.matches(".choices"),
            (one) => one.dataset.act === act && one.dataset.kind === kind && !one.closest("#recommended"),
            (one) => one.dataset.kind === kind && !one.closest("#recommended"),
            () => run || key,
        ];
        const found = (this.isStep && element.querySelector(".choices a.main"))
            || inPlace.map((is) => same.find(is)).find((one) => one);
        if (!found) return;
        this.kept = found;
        found.focus({preventScroll: true});
    },

    // what came this second; gives back what changes when the page is to be drawn
    renew(told) {
        const said = JSON.parse(told || '{"version": "", "runs": {}}');
        for (const [run, [share, words]] of Object.entries(said.runs)) {
            const row = document.querySelector(`#model-downloads li[data-run="${CSS.escape(run)}"]`);
            const bar = row?.querySelector("progress"), line = row?.querySelector(".line");
            if (bar && share !== null) bar.value = share;
            if (line) line.textContent = words;
        }
        return said.version;
    },
};
