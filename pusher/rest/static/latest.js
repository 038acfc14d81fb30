// The newest days stand at the right, and are what people look for.
for (const each of document.querySelectorAll(".latest")) each.scrollLeft = each.scrollWidth;
