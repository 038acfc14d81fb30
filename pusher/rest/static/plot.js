// Draws the points that the page names, and loads finer ones for the part that a person frames.
(function () {
  "use strict";
  var place = document.getElementById("plot");
  if (!place || typeof uPlot === "undefined") return;
  var whole = document.getElementById("whole");
  var csv = document.getElementById("csv");
  var first = new URL(place.dataset.points, location.href);
  var shown = null;
  var latest = 0;
  var points = null;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function size() {
    return { width: Math.max(240, place.clientWidth), height: window.innerWidth < 500 ? 280 : 400 };
  }

  function draw() {
    if (shown) shown.destroy();
    var ink = colour("--soft");
    var line = colour("--accent");
    var times = [ // distance of the marks, how they read, and what stands below when year or day change
      [31536000, "{YYYY}", null, null, null, null, null, null, 1],
      [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
      [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
      [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
      [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1]
    ];
    var axis = { stroke: ink, grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    var units = place.dataset.units ? " " + place.dataset.units : "";
    function value(_, number) {
      return number === null || number === undefined ? "–" : Number(number.toPrecision(5)) + units;
    }
    var sparse = points.time.length < 150;
    var options = Object.assign(size(), {
      tzDate: function (seconds) { return uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"); },
      scales: { x: { time: true } },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      axes: [Object.assign({ values: times, space: 65 }, axis), Object.assign({ size: 60 }, axis)],
      series: [
        { label: "Time", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" },
        { label: "greatest", stroke: line, width: 0, points: { show: false }, value: value },
        { label: "mean", stroke: line, width: 2, points: { show: sparse, size: 4, fill: line }, value: value },
        { label: "least", stroke: line, width: 0, points: { show: false }, value: value }
      ],
      bands: [{ series: [1, 3], fill: line + "33" }],
      hooks: { setSelect: [framed], ready: [touched] }
    });
    shown = new uPlot(options, [points.time, points.max, points.mean, points.min], place);
  }

  function framed(plot) {
    if (plot.select.width < 8) return;
    var since = Math.floor(plot.posToVal(plot.select.left, "x"));
    var until = Math.ceil(plot.posToVal(plot.select.left + plot.select.width, "x"));
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (until - since < 10) return;
    var address = new URL(first);
    address.searchParams.set("since", new Date(since * 1000).toISOString().slice(0, 19));
    address.searchParams.set("until", new Date(until * 1000).toISOString().slice(0, 19));
    load(address, true);
  }

  // The library knows mice only. A finger that moves sideways draws the frame; up and down it scrolls the page.
  function touched(plot) {
    var from = null;
    function at(event) {
      var box = plot.over.getBoundingClientRect();
      return Math.min(Math.max(event.clientX - box.left, 0), box.width);
    }
    function frame(left, width) {
      plot.setSelect({ left: left, width: width, top: 0, height: plot.over.clientHeight }, false);
    }
    plot.over.addEventListener("pointerdown", function (event) {
      from = event.pointerType === "touch" ? at(event) : null;
    });
    plot.over.addEventListener("pointermove", function (event) {
      if (from !== null) frame(Math.min(from, at(event)), Math.abs(at(event) - from));
    });
    plot.over.addEventListener("pointerup", function () {
      if (from !== null) framed(plot);
      from = null;
    });
    plot.over.addEventListener("pointercancel", function () {
      if (from !== null) frame(0, 0);
      from = null;
    });
  }

  function load(address, nearer) {
    var turn = ++latest;
    place.setAttribute("aria-busy", "true");
    fetch(address, { headers: { Accept: "application/json" }, credentials: "same-origin" })
      .then(function (answer) {
        if (!answer.ok) throw new Error(String(answer.status));
        return answer.json();
      })
      .then(function (found) {
        if (turn !== latest) return;
        points = found;
        draw();
        whole.disabled = !nearer;
        csv.href = "/plot.csv" + address.search;
        place.setAttribute("aria-busy", "false");
      })
      .catch(function () {
        if (turn !== latest) return;
        place.setAttribute("aria-busy", "false");
        if (!points) place.textContent = "The points could not be loaded; load the page again.";
      });
  }

  whole.addEventListener("click", function () { load(first, false); });
  window.addEventListener("resize", function () { if (shown) shown.setSize(size()); });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { if (points) draw(); });
  load(first, false);
})();
