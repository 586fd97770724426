"use strict";
// What a reader can do beyond reading: enlarge pictures, filter them, sort and unfold tables. The page is whole without.
(() => {
  const make = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const every = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Enlarged pictures

  const title = make("p", { id: "viewer-title" });
  const place = make("p", { className: "soft", role: "status" });
  const mark = make("p", { className: "viewer-mark" });
  const pictures = make("div", { className: "viewer-pictures" });
  const facts = make("div", { className: "viewer-facts" });
  const button = (text, label, action) => {
    const made = make("button", { type: "button", textContent: text });
    made.setAttribute("aria-label", label);
    made.addEventListener("click", action);
    return made;
  };
  const viewer = make(
    "dialog", { id: "viewer" },
    make("div", { className: "viewer-head" },
      make("div", {}, title, place),
      make("div", { className: "viewer-buttons" },
        button("←", "Previous row", () => step(-1)),
        button("→", "Next row", () => step(1)),
        button("✕", "Close", () => viewer.close()))),
    mark, pictures, facts);
  viewer.setAttribute("aria-labelledby", "viewer-title");
  let shown = null;

  const figures = () => every(".examples figure").filter(figure => figure.offsetParent !== null);

  const fit = () => {
    // Whole multiples keep pixels square; an image larger than its place is shown to its full size by scrolling.
    const images = every("img", pictures);
    const narrow = window.innerWidth < 700;
    const room = (viewer.clientWidth - 48) / (narrow ? 1 : images.length) - 16;
    for (const image of images) {
      const times = Math.max(1, Math.floor(Math.min(room, window.innerHeight * 0.6) / image.naturalWidth));
      image.width = image.naturalWidth * times;
    }
  };

  const show = figure => {
    const all = figures();
    shown = figure;
    title.textContent = figure.dataset.heading;
    const list = figure.closest(".examples").parentElement.querySelector("h3");
    place.textContent = `Row ${all.indexOf(figure) + 1} of ${all.length}${list ? ", " + list.textContent : ""}`;
    const note = figure.querySelector(".mark-note");
    mark.replaceChildren(...(note ? [...note.cloneNode(true).childNodes] : []));
    mark.hidden = !note;
    pictures.replaceChildren(...every("img", figure).map(image =>
      make("figure", {}, make("img", { src: image.src, alt: image.alt }),
        make("figcaption", {}, make("strong", { textContent: image.dataset.name }), " ",
          make("span", { className: "soft", textContent: image.dataset.note })))));
    const known = figure.querySelector("dl");
    facts.replaceChildren(...(known ? [known.cloneNode(true)] : []));
    if (!viewer.open) viewer.showModal();
    viewer.scrollTop = 0;
    Promise.all(every("img", pictures).map(image => image.decode().catch(() => null))).then(fit);
  };

  const step = by => {
    const all = figures();
    if (all.length) show(all[(all.indexOf(shown) + by + all.length) % all.length]);
  };

  viewer.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  viewer.addEventListener("click", event => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => shown && shown.querySelector("button.row").focus());
  window.addEventListener("resize", () => { if (viewer.open) fit(); });
  for (const row of every(".examples .row")) {
    const opener = make("button", { type: "button", className: "row" }, ...row.childNodes);
    opener.setAttribute("aria-haspopup", "dialog");
    opener.setAttribute("aria-label", `Enlarge ${row.closest("figure").dataset.heading}`);
    opener.addEventListener("click", () => show(opener.closest("figure")));
    row.replaceWith(opener);
  }
  if (document.querySelector(".examples .row")) document.querySelector(".page").append(viewer);

  // Filters

  for (const bar of every(".filters")) {
    const gallery = bar.parentElement;
    const items = every(".examples > li", gallery);
    const apply = () => {
      const wanted = every("select", bar).map(one => [one.dataset.field, one.value]).filter(([, value]) => value);
      for (const item of items) item.hidden = wanted.some(([field, value]) => item.dataset[field] !== value);
      for (const list of every(".examples", gallery)) {
        list.parentElement.hidden = ![...list.children].some(item => !item.hidden);
      }
      bar.querySelector("[role=status]").textContent =
        `${items.filter(item => !item.hidden).length} of ${items.length} rows shown`;
    };
    bar.hidden = false;
    bar.addEventListener("change", apply);
    bar.addEventListener("submit", event => event.preventDefault());
    apply();
  }

  // Tables: sorted by a column's button, folded after some rows

  for (const table of every("table.sortable")) {
    const body = table.tBodies[0];
    const value = (row, at) => row.cells[at].dataset.value ?? row.cells[at].textContent;
    const compare = (a, b) => {
      const [x, y] = [Number(a), Number(b)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
    };
    every("thead th", table).forEach((head, at) => {
      const sorter = make("button", { type: "button" }, ...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of every("thead th", table)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => compare(value(a, at), value(b, at)) * (down ? -1 : 1)
          || a.dataset.place - b.dataset.place);
        // Rows without a value stay last either way.
        body.append(...rows.filter(row => value(row, at) !== ""), ...rows.filter(row => value(row, at) === ""));
      });
    });
    [...body.rows].forEach((row, at) => { row.dataset.place = at; });
  }

  for (const table of every("table[data-fold]")) {
    const first = Number(table.dataset.fold), total = table.tBodies[0].rows.length;
    if (total <= first) continue;
    const toggle = make("button", { type: "button", className: "unfold" });
    const fold = folded => {
      table.classList.toggle("folded", folded);
      toggle.setAttribute("aria-expanded", String(!folded));
      toggle.textContent = folded ? `Show all ${total.toLocaleString("en")}` : `Show ${first} only`;
    };
    toggle.addEventListener("click", () => fold(!table.classList.contains("folded")));
    table.closest(".wide").after(toggle);
    fold(true);
  }

  // What a narrow screen hides to the right is announced

  const announce = () => {
    for (const wide of every(".wide")) {
      const more = wide.scrollWidth - wide.clientWidth;
      wide.classList.toggle("more", more > 1 && wide.scrollLeft < more - 1);
      wide.classList.toggle("overflows", more > 1);
    }
  };
  for (const wide of every(".wide")) wide.addEventListener("scroll", announce, { passive: true });
  for (const details of every("details")) details.addEventListener("toggle", announce);
  window.addEventListener("resize", announce);
  announce();
})();
