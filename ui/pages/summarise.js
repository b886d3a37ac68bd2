// The summarise page: a text file that is dropped on the conversation is read here and sent nowhere, Copy copies what
// was written, and the words of a mark stay inside the window.

const MOST_DROPPED = 1_000_000;
const dialogueBox = (target) => target.closest?.("#dialogue")?.querySelector("textarea");
const refuse = (box, words) => {
    const block = box.closest("#dialogue");
    const line = block.querySelector(".refused") ?? block.appendChild(document.createElement("p"));
    line.className = "refused";
    line.setAttribute("role", "alert");
    line.textContent = words;
};
// As a text file may be written: UTF-16 says so in its first bytes; what is no UTF-8 is of an old Windows.
const decoded = (bytes) => {
    const [first, second] = new Uint8Array(bytes);
    if (first === 0xFF && second === 0xFE) return new TextDecoder("utf-16le").decode(bytes);
    if (first === 0xFE && second === 0xFF) return new TextDecoder("utf-16be").decode(bytes);
    try {
        return new TextDecoder("utf-8", {fatal: true}).decode(bytes);
    } catch {
        return new TextDecoder("windows-1252").decode(bytes);
    }
};
for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
        const box = dialogueBox(event.target);
        if (!box || !event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        box.closest("#dialogue").classList.toggle("is-over", name === "dragover");
        if (name !== "drop" || !event.dataTransfer.files.length) return;
        const file = event.dataTransfer.files[0];
        if (file.size > MOST_DROPPED) return refuse(box, `${file.name} is too large; drop at most 1 MB of text.`);
        file.arrayBuffer().then((bytes) => {
            const text = decoded(bytes);
            if (text.includes("\0") || text.startsWith("%PDF")) {
                return refuse(box, `${file.name} is no text file; copy the conversation out of it and paste it here.`);
            }
            refuse(box, "");
            box.value = text;
            box.dispatchEvent(new Event("input", {bubbles: true}));
            box.focus();
        });
    });
}
document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    navigator.clipboard.writeText(button.closest("[data-plain]").dataset.plain).then(() => {
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
});
for (const name of ["pointerover", "focusin"]) {
    document.addEventListener(name, (event) => {
        const mark = event.target.closest?.("#summarise .note mark");
        if (mark) mark.classList.toggle("is-right", mark.getBoundingClientRect().left > window.innerWidth - 310);
    });
}
