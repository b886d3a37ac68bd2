// The chat page: keys, the list and its menu, the thread that stays at its end until somebody scrolls up, formulas, and
// the box, in which what is typed after Enter belongs to the next message.

const chatPage = (() => {
    const frame = () => document.getElementById("frame");
    const closeList = () => frame()?.classList.remove("list-open");
    const drawer = {
        set(isOpen) {
            frame()?.classList.toggle("drawer-open", isOpen);
            document.getElementById("options")?.setAttribute("aria-expanded", String(isOpen));
        },
        isOpen: () => frame()?.classList.contains("drawer-open"),
        toggle() {
            this.set(!this.isOpen());
            if (this.isOpen()) document.querySelector("#drawer-head button")?.focus();
        },
    };

    document.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
        const stop = document.getElementById("stop");
        if (stop && stop.offsetParent !== null) { stop.click(); return; }
        if (message.edited) message.endEdit();
        else if (drawer.isOpen() && document.querySelector("#drawer")?.contains(document.activeElement)) {
            drawer.set(false);
            document.querySelector("#options")?.focus();
        }
        closeList();
    });
    document.addEventListener("click", (event) => {
        const staysOpen = event.target.closest("#list, #open-list, #entry-menu, .rename") &&
            !event.target.closest("#new, #conversations a");
        if (!staysOpen) closeList();
    });

    // Formulas: the server sends their source, Gradio's own KaTeX draws it. What is drawn is kept, as an answer that
    // grows is written anew with each piece of it.
    const formulas = {
        katex: null, isAsked: false, drawn: new Map(),
        draw(root) {
            const found = root.querySelectorAll(".math:not([data-drawn])");
            if (!found.length) return;
            if (!this.katex) { this.load(root); return; }
            for (const one of found) {
                const html = this.html(one.dataset.tex, one.classList.contains("display"));
                if (html) one.innerHTML = html;
                one.dataset.drawn = "";
            }
        },
        html(tex, displayMode) {
            const key = displayMode + tex;
            if (!this.drawn.has(key)) {
                if (this.drawn.size > 500) this.drawn.clear();
                const bounds = {trust: false, throwOnError: false, maxExpand: 200, maxSize: 20, strict: "ignore"};
                let html = "";                      // what is nested too deep for KaTeX stays as it was written
                try { html = this.katex.renderToString(tex, {displayMode, ...bounds}); } catch { /* RangeError */ }
                this.drawn.set(key, html);
            }
            return this.drawn.get(key);
        },
        async load(root) {
            const place = document.querySelector("#katex [data-script]");
            if (this.isAsked || !place) return;
            this.isAsked = true;
            const style = document.createElement("link");
            style.rel = "stylesheet";
            style.href = place.dataset.style;
            document.head.append(style);
            this.katex = (await import(place.dataset.script)).default;
            this.draw(root);
        },
    };

    // An answer that is being written: its HTML comes by Server-Sent Events, and only the blocks that differ are
    // replaced, so that what is read or selected above stays as it is.
    const growth = {
        source: null, answers: "", blocks: new Map(),
        follow(thread) {
            const {conversation = "", answers = ""} = thread.querySelector(".live")?.dataset ?? {};
            if (answers === this.answers) return;
            this.source?.close();
            this.answers = answers;
            this.blocks.clear();
            if (!answers) return;
            this.source = new EventSource(`/chat/growth?c=${encodeURIComponent(conversation)}`);
            this.source.onmessage = (event) => this.draw(JSON.parse(event.data));
            this.source.addEventListener("end", () => this.end());
            this.source.onerror = () => { if (this.source.readyState === EventSource.CLOSED) this.end(); };
        },
        draw({id, html}) {
            const prose = document.querySelector(`#now .turn[data-id="${id}"] .prose`);
            if (!prose) return;
            const made = document.createElement("template");
            made.innerHTML = html;
            const nodes = [...made.content.children], now = nodes.map((one) => one.outerHTML);
            const before = this.blocks.get(id);
            this.blocks.set(id, now);
            if (!before || prose.children.length !== before.length) { prose.replaceChildren(...nodes); return; }
            nodes.forEach((node, k) => {
                if (k >= before.length) prose.append(node);
                else if (before[k] !== now[k]) prose.children[k].replaceWith(node);
            });
            while (prose.children.length > nodes.length) prose.lastElementChild.remove();
        },
        end() {                                     // the page is drawn as it is in the end
            this.source.close();
            const box = document.querySelector("#stale textarea, #stale input");
            box.value = `ended ${Date.now()}`;
            box.dispatchEvent(new Event("input", {bubbles: true}));
        },
    };

    // The thread: at its end until somebody scrolls up; who acts below wants to see the end again.
    const follow = (thread) => {
        let isAtEnd = true, before = 0;
        const goToEnd = () => { if (isAtEnd) thread.scrollTop = thread.scrollHeight; };
        thread.addEventListener("scroll", () => {
            const isNearEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 40;
            if (isNearEnd) isAtEnd = true;
            else if (thread.scrollTop < before - 2) isAtEnd = false;
            before = thread.scrollTop;
        });
        const startOver = (event) => {
            if (event.type === "click" || event.key === "Enter") { isAtEnd = true; goToEnd(); }
        };
        for (const id of ["composer", "list", "again"]) {
            document.getElementById(id)?.addEventListener("click", startOver);
            document.getElementById(id)?.addEventListener("keydown", startOver);
        }
        new MutationObserver(() => { growth.follow(thread); formulas.draw(thread); goToEnd(); })
            .observe(thread, {childList: true, subtree: true, characterData: true});
        new ResizeObserver(goToEnd).observe(thread);
        growth.follow(thread);
        formulas.draw(thread);
    };
    new MutationObserver((changes, observer) => {
        const thread = document.getElementById("scroll");
        if (!thread) return;
        observer.disconnect();
        follow(thread);
    }).observe(document, {childList: true, subtree: true});

    // Gradio reads the box some moments after Enter, and would empty it only once the answer has begun. So the text is
    // noted when the key or button goes down, and only it leaves the box; a message that is refused comes back.
    const message = {
        noted: null, taken: "", edited: "", takenEdit: "",
        box: () => document.querySelector("#box textarea"),
        write(text) {
            const box = this.box();
            box.value = text;
            box.dispatchEvent(new Event("input", {bubbles: true}));
        },
        note() { this.noted = this.box().value; },
        take(text) {
            this.taken = this.noted ?? text;
            this.noted = null;
            const now = this.box().value;
            if (now.startsWith(this.taken)) this.write(now.slice(this.taken.length));
            return this.taken;
        },
        takeEdit() {
            this.takenEdit = this.edited;
            this.showEdit("");
            return this.takenEdit;
        },
        putBack() {
            this.write(this.taken + this.box().value);
            this.showEdit(this.takenEdit);
            this.taken = this.takenEdit = "";
        },
        showEdit(id) {
            this.edited = id;
            document.getElementById("thread")?.classList.toggle("editing", Boolean(id));
        },
        edit(id, text) {
            this.showEdit(id);
            this.write(text);
            this.box().focus();
            this.box().setSelectionRange(text.length, text.length);
        },
        endEdit() {
            this.showEdit("");
            this.write("");
            this.box().focus();
        },
    };
    document.addEventListener("keydown", (event) => {
        const isSending = event.key === "Enter" && !event.shiftKey && !event.isComposing;
        if (isSending && event.target === message.box()) message.note();
    }, true);
    document.addEventListener("click", (event) => {
        if (event.target.closest("#send")) message.note();
    }, true);

    const copied = async (text, button) => {
        await navigator.clipboard.writeText(text);
        const before = button.textContent;
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = before; }, 1500);
    };

    // What is clicked in the thread, the line and the chips: some of it is done here, the rest goes to the server.
    const onThreadClick = (event, trigger) => {
        const target = event.target.closest("[data-act]");
        if (!target || target.disabled) return;
        const {act, id} = target.dataset;
        const row = id && document.querySelector(`#scroll .turn[data-id="${id}"]`);
        if (act === "copy-code") copied(target.parentElement.querySelector("code").textContent, target);
        else if (act === "copy") copied(row.querySelector(".prose").innerText, target);
        else if (act === "edit") message.edit(id, row.querySelector(".prose").textContent);
        else if (act === "end-edit") message.endEdit();
        else trigger("click", {...target.dataset});
    };

    // The list: a click on a line opens it; its menu and the box to rename it lie outside of it, where no update of the
    // list takes them away.
    const list = {
        trigger: null,
        menu() {
            let menu = document.getElementById("entry-menu");
            if (menu) return menu;
            menu = document.createElement("div");
            menu.id = "entry-menu";
            menu.popover = "auto";
            menu.setAttribute("role", "menu");
            const items = {rename: "Rename", markdown: "Export as Markdown", json: "Export as JSON", delete: "Delete"};
            for (const [act, words] of Object.entries(items)) {
                const item = document.createElement("button");
                Object.assign(item, {type: "button", textContent: words});
                item.setAttribute("role", "menuitem");
                item.dataset.act = act;
                menu.append(item);
            }
            menu.addEventListener("click", (event) => {
                const act = event.target.dataset?.act;
                if (!act) return;
                const id = menu.dataset.id;
                menu.hidePopover();
                if (act === "rename") this.rename(id);
                else this.trigger("click", {act, id});
            });
            menu.addEventListener("keydown", (event) => {
                const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
                if (event.key === "Escape") { event.preventDefault(); menu.hidePopover(); }
                if (!step) return;
                event.preventDefault();
                const all = [...menu.children];
                all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
            });
            document.body.append(menu);
            return menu;
        },
        openMenu(button) {
            const menu = this.menu(), place = button.getBoundingClientRect();
            menu.dataset.id = button.dataset.id;
            menu.showPopover();
            menu.style.left = `${Math.min(place.left, window.innerWidth - menu.offsetWidth - 8)}px`;
            menu.style.top = `${Math.min(place.bottom + 2, window.innerHeight - menu.offsetHeight - 8)}px`;
            menu.firstElementChild.focus();
        },
        rename(id) {
            const link = document.querySelector(`#conversations a[data-id="${id}"]`);
            if (!link) return;
            const place = link.parentElement.getBoundingClientRect(), box = document.createElement("input");
            Object.assign(box, {className: "rename", value: link.textContent, maxLength: 200});
            box.setAttribute("aria-label", "New name");
            Object.assign(box.style, {left: `${place.left}px`, top: `${place.top}px`, width: `${place.width}px`});
            let isOver = false;
            const end = (isKept) => {
                if (isOver) return;
                isOver = true;
                const title = box.value.trim();
                box.remove();
                if (isKept && title && title !== link.textContent) this.trigger("click", {act: "rename", id, title});
            };
            box.addEventListener("blur", () => end(true));
            box.addEventListener("keydown", (event) => {
                if (event.key === "Enter") end(true);
                if (event.key === "Escape") { event.preventDefault(); end(false); }
            });
            frame().append(box);
            box.select();
        },
        onClick(event, trigger) {
            this.trigger = trigger;
            const target = event.target.closest("[data-act]");
            if (!target || event.ctrlKey || event.metaKey) return;
            event.preventDefault();
            if (target.dataset.act === "menu") this.openMenu(target);
            else trigger("click", {...target.dataset});
        },
    };

    // A file that the server made is saved by the browser, and lies nowhere else.
    const saveFile = (file) => {
        if (!file) return "";
        const {name, text, kind} = JSON.parse(file), link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([text], {type: kind}));
        link.download = name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
        return "";
    };

    return {drawer, list, message, onThreadClick, saveFile};
})();
