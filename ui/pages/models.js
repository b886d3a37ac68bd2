// The Models page. What a person has opened lives here alone: every drawing says for which state it was made, and one
// that comes late, for another state, is asked for again. A running download's bar and words are renewed in place, so
// that its buttons are not replaced under the pointer.

const modelsPage = {
    // of the list: "how many:the file whose deletion is to be confirmed"; of what can be had: "ENTRY" or "ENTRY/KIND"
    state: {list: ":", shelf: new URLSearchParams(window.location.search).get("get") ?? ""},
    pressed: null,
    isToShow: new URLSearchParams(window.location.search).has("get"),       // the open card is to be scrolled to
    isBegun: false,     // a download was asked for, whose row is to be scrolled to

    click(event, trigger) {
        const target = event.target.closest("[data-act]");
        if (!target || event.detail > 1) return;        // the second half of a double click
        this.pressed = target;
        const said = {...target.dataset}, {act, key, entry, kind} = said;
        this.isToShow ||= target.closest("#recommended") !== null;
        this.isBegun = act === "get";
        const which = target.closest("[data-state]")?.dataset.of;
        if (which === "list") {
            const most = act === "rest" ? "all" : this.state.list.split(":")[0];
            this.state.list = `${most}:${act === "ask" ? key : ""}`;
        } else if (which === "shelf") {
            this.state.shelf = act === "close" ? "" : act !== "get" && kind ? `${entry}/${kind}` : entry;
        }
        trigger("click", {...said, state: this.state[which] ?? ""});
    },

    drawn(element, trigger) {
        const shown = element.querySelector("[data-state]"), now = this.state[shown?.dataset.of];
        if (shown && shown.dataset.state !== now) trigger("click", {act: "again", state: now});
        this.keepFocus(element);
        if (this.isBegun && element.querySelector("li[data-run]")) {
            this.isBegun = false;
            element.scrollIntoView();
        }
        const open = shown?.dataset.state === now ? element.querySelector(".offers li.open") : null;
        if (!open || !this.isToShow) return;
        this.isToShow = false;
        open.scrollIntoView();
    },

    // what was pressed is another element now: the keyboard goes on where it was
    keepFocus(element) {
        if (!this.pressed || this.pressed.isConnected || document.activeElement !== document.body) return;
        const {entry, kind, run, key} = this.pressed.dataset;
        [...element.querySelectorAll("[data-act]")].find(({dataset}) => dataset.entry === entry
            && dataset.kind === kind && dataset.run === run && dataset.key === key)?.focus({preventScroll: true});
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
