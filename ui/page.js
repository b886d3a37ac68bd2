// What every page does: a page that shows a run or a conversation keeps it in its address, and Back goes to the one
// before; no field leaves what was typed on the disk; what a page fills as it opens can not be changed before that;
// a double click is one.

window.addEventListener("popstate", () => window.location.reload());

// Browsers write what stands in a text field into their profile, to bring it back after a crash, unless it says not to.
new MutationObserver((changes) => {
    for (const {addedNodes} of changes) {
        for (const node of addedNodes) {
            if (node.nodeType !== Node.ELEMENT_NODE) continue;
            if (node.matches("input, textarea")) node.autocomplete = "off";
            else for (const field of node.querySelectorAll("input, textarea")) field.autocomplete = "off";
        }
    }
}).observe(document, {childList: true, subtree: true});

// What a page shows stands in its address (?run=..., ?c=...), so that a reload and a bookmark find it again.
const toAddress = (name, value) => {
    const url = new URL(window.location.href);
    const known = url.searchParams.get(name);
    if ((known ?? "") === (value ?? "")) return;
    if (value) url.searchParams.set(name, value); else url.searchParams.delete(name);
    if (known) window.history.pushState(null, "", url); else window.history.replaceState(null, "", url);
};

// A double click on what begins something is one wish.
document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest("#frame button.primary")) event.stopImmediatePropagation();
}, true);

// What opens a page comes from the server; typed or clicked before, it would be overwritten. The chat's message box is
// filled by nobody and may be used at once. #frame has data-open once everything is there.
const opening = {
    parts: ".page, #drawer",
    waits: 0,
    begin() {
        this.waits += 1;
        for (const part of document.querySelectorAll(this.parts)) part.inert = true;
        return [];
    },
    end() {
        this.waits -= 1;
        if (this.waits) return;
        for (const part of document.querySelectorAll(this.parts)) part.inert = false;
        document.querySelector("#frame")?.toggleAttribute("data-open", true);
    },
};
