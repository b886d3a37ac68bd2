// The train page's path of steps: one is opened at a time by the page, any by a click on its head. And what a person
// unfolded in a run stays unfolded when the run is drawn anew.

const trainSteps = {
    steps: () => [...document.querySelectorAll("#train > .step")],
    show(step, isOpen) {
        step.toggleAttribute("data-open", isOpen);
        step.querySelector(".step-head button")?.setAttribute("aria-expanded", String(isOpen));
    },
    open(number) {
        this.steps().forEach((step, k) => this.show(step, k === number));
        const place = document.querySelector("#train");
        const step = this.steps()[number];
        if (place && step && step.offsetTop < place.scrollTop) place.scrollTop = step.offsetTop - 16;
    },
    unfolded: new Map(),
    renew(added) {
        for (const head of added.querySelectorAll(".step-head button")) {
            const step = head.closest(".step");
            if (step) head.setAttribute("aria-expanded", String(step.hasAttribute("data-open")));
        }
        for (const one of added.querySelectorAll("details[data-key]")) {
            if (this.unfolded.get(one.dataset.key)) one.open = true;
        }
    },
};
document.addEventListener("click", (event) => {
    const step = event.target.closest("#train .step-head button")?.closest(".step");
    if (step) trainSteps.show(step, !step.hasAttribute("data-open"));
});
document.addEventListener("toggle", (event) => {
    const key = event.target.dataset?.key;
    if (key && event.target.isConnected) trainSteps.unfolded.set(key, event.target.open);
}, true);
new MutationObserver((changes) => {
    for (const change of changes) {
        if (change.addedNodes.length && change.target.closest?.("#train")) trainSteps.renew(change.target);
    }
}).observe(document, {childList: true, subtree: true});
