// The boxes that are ticked in the export page's table: the browser knows them before the server does.
const exportTicks = () =>
    [...document.querySelectorAll("#export-table input:checked")].map((box) => box.value).join(",");
