// A chosen file is sent as it is to PUT data-to; the page shows how far it is, and can be told to stop.

const sendFile = (input) => {
    const file = input.files[0], sending = input.closest(".adding").querySelector(".sending");
    const words = sending.querySelector(".words"), bar = sending.querySelector(".bar");
    const cancel = sending.querySelector("button"), asked = new XMLHttpRequest(), began = Date.now();
    const end = (text) => { words.textContent = text; bar.hidden = cancel.hidden = true; };
    sending.hidden = bar.hidden = cancel.hidden = false;
    words.textContent = "Copying";
    asked.upload.addEventListener("progress", (event) => {
        const share = event.total ? event.loaded / event.total : 0;
        const left = share > 0.02 ? Math.round((Date.now() - began) / 1000 * (1 - share) / share) : null;
        bar.firstElementChild.style.width = `${share * 100}%`;
        bar.setAttribute("aria-valuenow", Math.round(share * 100));
        words.textContent = share < 1 ? `${Math.round(share * 100)}%${left === null ? "" : `, about ${left} s left`}`
                                      : "Looking at the file";
    });
    asked.addEventListener("load", () => {
        const said = asked.status < 500 ? JSON.parse(asked.responseText || "{}") : {};
        end(said.file ? `${said.file} is here.` : said.problem || said.detail || "The file could not be taken; try again.");
    });
    asked.addEventListener("error", () => end("The connection to Galen broke; try again."));
    asked.addEventListener("abort", () => end("Cancelled; nothing was kept."));
    cancel.onclick = () => asked.abort();
    asked.open("PUT", `${input.dataset.to}?name=${encodeURIComponent(file.name)}`);
    asked.send(file);
};
document.addEventListener("change", (event) => {
    if (!event.target.dataset?.to || !event.target.files.length) return;
    sendFile(event.target);
    event.target.value = "";
});
