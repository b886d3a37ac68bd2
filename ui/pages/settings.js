// An address such as /settings#connections goes to its heading once that is drawn.

if (window.location.hash && window.location.pathname.startsWith("/settings")) {
    new MutationObserver((changes, observer) => {
        const heading = document.getElementById(window.location.hash.slice(1));
        if (!heading) return;
        observer.disconnect();
        setTimeout(() => heading.scrollIntoView(), 400);
    }).observe(document, {childList: true, subtree: true});
}
