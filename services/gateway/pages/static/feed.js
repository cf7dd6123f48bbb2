// Shows the feed as it happens: one line an event, the newest first, and not more than a screen can hold.

const LINES_MAX = 50;

const list = document.querySelector("[data-feed-of]");
const feed = new EventSource(list.dataset.feedOf);

function show(event) {
  const body = JSON.parse(event.data);
  const line = document.createElement("li");
  const name = document.createElement("code");
  name.textContent = event.type;
  line.append(name, " ");
  if (body.customer) {
    const who = `${body.customer.type}_${body.customer.id}`;
    const link = document.createElement("a");
    link.href = `/admin/customers/${encodeURIComponent(who)}`;
    link.textContent = who;
    line.append(link, " ");
  }
  const cause = document.createElement("span");
  cause.className = "hint";
  cause.textContent = `version ${body.version}, caused by ${body.caused_by}`;
  line.append(cause);
  list.prepend(line);
  while (list.children.length > LINES_MAX) list.lastElementChild.remove();
}

for (const name of document.body.dataset.events.split(" ")) feed.addEventListener(name, show);
