// Carries each paid order of the shop through CRM, accounting and shipping, and takes back what was cancelled.
// Java 17, one file, no libraries: java Integrator.java. State is an append-only file of JSON lines in the working
// folder; after a restart it says what is still to be done. MISTAKE=<name> switches one common mistake on.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.math.BigDecimal;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Integrator {
  static final Map<String, String> ENV = System.getenv();
  static final String MISTAKE = ENV.getOrDefault("MISTAKE", "");
  static final boolean FORGETFUL = MISTAKE.equals("no-deduplication");
  static final long TIMEOUT = setting("TIMEOUT_MS", 300), RECONCILE = setting("RECONCILE_MS", 2000);
  static final double BASE = Double.parseDouble(ENV.getOrDefault("BACKOFF_BASE", "0.05")) * 1000;
  static final double CAP = Double.parseDouble(ENV.getOrDefault("BACKOFF_CAP", "2")) * 1000, LONG_CAP = 30_000;
  static final long MAX_ATTEMPTS = setting("MAX_ATTEMPTS", 8), TOLERANCE = 300, MAX_BODY = 1 << 20;
  static final Random CHANCE = new Random();
  static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  static final ExecutorService WORKERS = Executors.newCachedThreadPool();

  static long setting(String name, long usual) {
    return Long.parseLong(ENV.getOrDefault(name, Long.toString(usual)));
  }

  // --- Failures -------------------------------------------------------------------------------------------------

  /** It may work later, with the same key. */
  static class TryAgain extends Exception {
    final long notBefore;
    final boolean sent;

    TryAgain(String reason, long notBefore, boolean sent) {
      super(reason);
      this.notBefore = notBefore;
      this.sent = sent;
    }

    TryAgain(String reason) {
      this(reason, 0, true);
    }
  }

  /** It will not work, however often it is tried. */
  static class Refused extends Exception {
    final int status;

    Refused(String reason, int status) {
      super(reason);
      this.status = status;
    }
  }

  // --- JSON: objects are maps, arrays lists, numbers BigDecimal --------------------------------------------------

  static class Json {
    private final String text;
    private int at = 0;

    private Json(String text) {
      this.text = text;
    }

    static Object parse(String text) {
      Json json = new Json(text);
      Object value = json.value();
      if (json.next() != 0) throw new IllegalArgumentException("more than one value");
      return value;
    }

    private char next() {
      while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++;
      return at < text.length() ? text.charAt(at) : 0;
    }

    private void expect(char wanted) {
      if (next() != wanted) throw new IllegalArgumentException("no " + wanted + " at " + at);
      at++;
    }

    private Object value() {
      char begin = next();
      if (begin == '{') {
        Map<String, Object> object = new LinkedHashMap<>();
        for (at++; next() != '}'; ) {
          if (!object.isEmpty()) expect(',');
          next();
          String name = string();
          expect(':');
          object.put(name, value());
        }
        at++;
        return object;
      }
      if (begin == '[') {
        List<Object> array = new ArrayList<>();
        for (at++; next() != ']'; array.add(value())) if (!array.isEmpty()) expect(',');
        at++;
        return array;
      }
      if (begin == '"') return string();
      Matcher word = Pattern.compile("true|false|null|-?[0-9][0-9.eE+-]*").matcher(text).region(at, text.length());
      if (!word.lookingAt()) throw new IllegalArgumentException("no value at " + at);
      at = word.end();
      return switch (word.group()) {
        case "true" -> true;
        case "false" -> false;
        case "null" -> null;
        default -> new BigDecimal(word.group());
      };
    }

    private String string() {
      expect('"');
      StringBuilder found = new StringBuilder();
      for (; at < text.length(); at++) {
        char c = text.charAt(at);
        if (c == '"') {
          at++;
          return found.toString();
        }
        if (c != '\\') {
          found.append(c);
          continue;
        }
        if (++at >= text.length()) break;
        char escaped = text.charAt(at);
        if (escaped == 'u' && at + 4 < text.length()) {
          found.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
          at += 4;
        } else found.append("nrtbf".indexOf(escaped) < 0 ? escaped : "\n\r\t\b\f".charAt("nrtbf".indexOf(escaped)));
      }
      throw new IllegalArgumentException("a string without an end");
    }

    static String text(Object value) {
      if (value instanceof Map<?, ?> object) {
        StringJoiner members = new StringJoiner(",", "{", "}");
        object.forEach((name, member) -> members.add(text(name) + ":" + text(member)));
        return members.toString();
      }
      if (value instanceof List<?> array) {
        StringJoiner items = new StringJoiner(",", "[", "]");
        array.forEach(item -> items.add(text(item)));
        return items.toString();
      }
      if (value instanceof BigDecimal number) return number.toPlainString();
      if (!(value instanceof String string)) return String.valueOf(value);
      StringBuilder quoted = new StringBuilder("\"");
      for (char c : string.toCharArray()) {
        if (c == '"' || c == '\\') quoted.append('\\').append(c);
        else if (c < ' ') quoted.append(String.format("\\u%04x", (int) c));
        else quoted.append(c);
      }
      return quoted.append('"').toString();
    }
  }

  @SuppressWarnings("unchecked")
  static Map<String, Object> object(Object value) throws TryAgain {
    if (value instanceof Map) return (Map<String, Object>) value;
    throw new TryAgain("an answer is not a JSON object");
  }

  static Object pick(Object source, String name) throws TryAgain {
    Object found = object(source).get(name);
    if (found == null) throw new TryAgain("an answer lacks " + name);
    return found;
  }

  static Map<String, Object> select(Object source, String... names) throws TryAgain {
    Map<String, Object> found = new LinkedHashMap<>();
    for (String name : names) found.put(name, pick(source, name));
    return found;
  }

  static Map<String, Object> of(Object... pairs) {
    Map<String, Object> made = new LinkedHashMap<>();
    for (int n = 0; n < pairs.length; n += 2) if (pairs[n + 1] != null) made.put((String) pairs[n], pairs[n + 1]);
    return made;
  }

  static List<Object> list(Object value) throws TryAgain {
    if (value instanceof List<?> found) return new ArrayList<>(found);
    throw new TryAgain("an answer has no list where one belongs");
  }

  // --- The four systems -----------------------------------------------------------------------------------------

  record Answer(int status, Map<String, Object> body, String link, String problem) {}

  static class Remote {
    final String name, url;
    final String[] credential;
    volatile long notBefore = 0;

    Remote(String name, String... credential) {
      this.name = name;
      this.url = ENV.get(name.toUpperCase() + "_URL");
      this.credential = credential;
    }

    String[] credential(String refused) throws TryAgain, Refused {
      return credential;
    }

    boolean renewable() {
      return false;
    }

    Answer call(String method, String path, Object body, String key, String order, String expect)
        throws TryAgain, Refused {
      String content = body == null ? null : Json.text(body);
      String[] used = credential(null);
      HttpResponse<String> answer = send(method, path, "application/json", content, key, order, used);
      if (answer.statusCode() == 401 && renewable())
        answer = send(method, path, "application/json", content, key, order, credential(used[1]));
      return judge(name + " " + method + " " + path.split("[?]")[0] + ": ", answer, expect);
    }

    HttpResponse<String> send(
        String method, String path, String type, String content, String key, String order, String[] used)
        throws TryAgain {
      if (System.currentTimeMillis() < notBefore) throw new TryAgain(name + " asked to wait", notBefore, false);
      String span = String.format("%016x", CHANCE.nextLong() | 1);
      HttpRequest.Builder request =
          HttpRequest.newBuilder(URI.create(url + path))
              .method(method, content == null ? BodyPublishers.noBody() : BodyPublishers.ofString(content))
              .header("traceparent", "00-" + sha256(order == null ? span : order).substring(0, 32) + "-" + span + "-01");
      if (used.length > 1) request.header(used[0], used[1]);
      if (key != null) request.header("Idempotency-Key", key);
      if (content != null) request.header("Content-Type", type);
      CompletableFuture<HttpResponse<String>> sent = HTTP.sendAsync(request.build(), BodyHandlers.ofString());
      try {
        return sent.get(TIMEOUT, TimeUnit.MILLISECONDS); // until the last byte
      } catch (TimeoutException | ExecutionException | InterruptedException error) {
        sent.cancel(true);
        Throwable cause = error.getCause() == null ? error : error.getCause();
        throw new TryAgain(name + " " + method + " " + path.split("[?]")[0] + ": " + cause.getClass().getSimpleName());
      }
    }

    Answer judge(String source, HttpResponse<String> answer, String expect) throws TryAgain, Refused {
      int status = answer.statusCode();
      Map<String, Object> body = new LinkedHashMap<>();
      try {
        if (!answer.body().isEmpty()) body = object(Json.parse(answer.body()));
      } catch (IllegalArgumentException | TryAgain broken) {
        if (status < 300) throw new TryAgain(source + status + " with a body that is not JSON");
      }
      String link = answer.headers().firstValue("link").orElse("");
      if (status >= 200 && status < 300) return new Answer(status, body, link, "");
      String reason = source + status + " " + body.getOrDefault("title", "");
      long asked = retryAfter(answer.headers().firstValue("retry-after").orElse(""));
      if (status == 408 || status == 425 || status == 429 || status >= 500) {
        notBefore = Math.max(notBefore, asked);
        throw new TryAgain(reason, asked, true);
      }
      String type = String.valueOf(body.get("type"));
      String problem = type.substring(type.lastIndexOf('/') + 1);
      if (expect != null && (expect.equals(problem) || expect.equals(Integer.toString(status))))
        return new Answer(status, body, link, problem);
      // An unexplained 409 means that the first request is still at work.
      if (status == 409 || status < 400)
        throw new TryAgain(reason, asked > 0 ? asked : System.currentTimeMillis() + (long) BASE, true);
      throw new Refused(reason, status);
    }
  }

  static class Crm extends Remote {
    private String token;
    private long expires;

    Crm() {
      super("crm");
    }

    @Override
    boolean renewable() {
      return true;
    }

    @Override
    synchronized String[] credential(String refused) throws TryAgain, Refused {
      if (System.currentTimeMillis() >= expires || token.equals(refused)) {
        String client = encode(ENV.get("CRM_CLIENT_ID")) + ":" + encode(ENV.get("CRM_CLIENT_SECRET"));
        String[] basic = {"Authorization", "Basic " + Base64.getEncoder().encodeToString(client.getBytes())};
        String form = "grant_type=client_credentials", type = "application/x-www-form-urlencoded";
        HttpResponse<String> answer = send("POST", "/oauth/token", type, form, null, null, basic);
        Map<String, Object> body = judge("crm POST /oauth/token: ", answer, null).body();
        String fresh = "Bearer " + pick(body, "access_token");
        double lifetime = ((BigDecimal) pick(body, "expires_in")).doubleValue();
        token = fresh;
        expires = System.currentTimeMillis() + (long) (Math.max(lifetime / 2, lifetime - 10) * 1000);
      }
      return new String[] {"Authorization", token};
    }
  }

  static final Remote SHOP = new Remote("shop", "X-Shop-Api-Key", ENV.get("SHOP_API_KEY"));
  static final Remote CRM = new Crm();
  static final Remote ACCOUNTING = new Remote("accounting", "Authorization", "Bearer " + ENV.get("ACCOUNTING_TOKEN"));
  static final Remote SHIPPING = new Remote("shipping", "X-Carrier-Key", ENV.get("SHIPPING_API_KEY"));

  static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }

  static long retryAfter(String value) {
    if (value.matches("[0-9]+")) return System.currentTimeMillis() + Long.parseLong(value) * 1000;
    try {
      return ZonedDateTime.parse(value, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant().toEpochMilli();
    } catch (DateTimeParseException notADate) {
      return 0;
    }
  }

  static String sha256(String text) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(digest);
    } catch (java.security.NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /** Full jitter, but never before the time that a system named. */
  static long pause(long failures, long notBefore, double cap) {
    double jitter = CHANCE.nextDouble() * Math.min(cap, BASE * Math.pow(2, Math.min(failures - 1, 30)));
    return (long) Math.max(jitter, notBefore - System.currentTimeMillis() + 1 + CHANCE.nextDouble() * BASE);
  }

  // --- State ----------------------------------------------------------------------------------------------------

  static class Order {
    final Map<String, Map<String, Object>> steps = new LinkedHashMap<>();
    String status = "settled", reason = "", fingerprint = "", changed = "";
    int news = 0, handled = -1;
    long failures = 0;
    boolean driven = false;

    boolean busy() {
      return status.equals("open") || status.equals("parking");
    }
  }

  static final Object LOCK = new Object();
  static final Set<String> SEEN = new HashSet<>();
  static final Map<String, Order> ORDERS = new LinkedHashMap<>();
  static RandomAccessFile file;

  static void open() throws IOException {
    file = new RandomAccessFile("integrator.jsonl", "rw");
    byte[] known = new byte[(int) file.length()];
    file.readFully(known);
    String text = new String(known, StandardCharsets.UTF_8);
    String complete = text.substring(0, text.lastIndexOf('\n') + 1); // a kill may have cut the last line short
    file.setLength(complete.getBytes(StandardCharsets.UTF_8).length);
    file.seek(file.length());
    for (String line : complete.split("\n")) if (!line.isEmpty()) apply(entry(line));
  }

  static Map<String, Object> entry(String line) {
    try {
      return object(Json.parse(line));
    } catch (TryAgain impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  static void store(Map<String, Object> entry) {
    synchronized (LOCK) {
      try {
        file.write((Json.text(entry) + "\n").getBytes(StandardCharsets.UTF_8));
      } catch (IOException full) {
        throw new IllegalStateException(full);
      }
      apply(entry);
    }
  }

  @SuppressWarnings("unchecked")
  static void apply(Map<String, Object> entry) {
    if (entry.get("webhook") instanceof String id) SEEN.add(id);
    if (!(entry.get("order") instanceof String number)) return;
    Order order = ORDERS.computeIfAbsent(number, unknown -> new Order());
    if (entry.get("changed") instanceof String changed && changed.compareTo(order.changed) > 0) order.changed = changed;
    if (Boolean.TRUE.equals(entry.get("afresh"))) order.steps.clear();
    if (entry.get("step") instanceof String step) order.steps.put(step, (Map<String, Object>) entry.get("state"));
    if (entry.get("fingerprint") instanceof String fingerprint) order.fingerprint = fingerprint;
    if (entry.get("reason") instanceof String reason) order.reason = reason;
    if (entry.get("status") instanceof String status) order.status = status;
    if ("open".equals(entry.get("status"))) {
      order.failures = 0;
      order.news++;
    }
  }

  interface Sending {
    Map<String, Object> send(Object body, String key) throws TryAgain, Refused;
  }

  /** A step has its effect once: until its outcome is known, the same body is sent with the same key. */
  static Map<String, Object> once(String number, String name, Object body, Sending sending) throws TryAgain, Refused {
    Order order = ORDERS.get(number);
    Map<String, Object> step = order.steps.get(name);
    boolean corrected = step != null && step.get("refused") != null && !Json.text(step.get("body")).equals(Json.text(body));
    if (step == null || corrected) {
      int revision = step == null ? 1 : ((BigDecimal) step.get("revision")).intValue() + 1;
      String key = FORGETFUL ? UUID.randomUUID().toString() : name + "-" + number + "-" + revision;
      step = of("body", body, "key", key, "revision", BigDecimal.valueOf(revision));
      store(of("order", number, "step", name, "state", step));
    }
    if (step.get("refused") != null) throw new Refused((String) step.get("refused"), 0);
    if (step.get("result") != null) return object(step.get("result"));
    Map<String, Object> after = new LinkedHashMap<>(step);
    try {
      String key = MISTAKE.equals("new-key-on-retry") ? UUID.randomUUID().toString() : (String) step.get("key");
      after.put("result", sending.send(step.get("body"), key));
      order.failures = 0;
      return object(after.get("result"));
    } catch (Refused error) {
      if (error.status != 401) after.put("refused", error.getMessage());
      throw error;
    } finally {
      if (after.size() > step.size()) store(of("order", number, "step", name, "state", after));
    }
  }

  // --- An order's way -------------------------------------------------------------------------------------------

  static Map<String, Object> address(Object source) throws TryAgain {
    Map<String, Object> found = of("additional_line", object(source).get("additional_line"));
    found.putAll(select(source, "street", "postal_code", "city", "country"));
    return found;
  }

  static Map<String, Object> needed(Map<String, Object> document) throws TryAgain {
    Object billing = pick(document, "billing_address"), delivery = pick(document, "delivery_address");
    List<Object> lines = new ArrayList<>();
    for (Object item : list(pick(document, "items")))
      if (!pick(item, "status").equals("cancelled"))
        lines.add(select(item, "description", "quantity", "net_amount", "tax_rate"));
    Map<String, Object> found = select(document, "status", "paid", "currency");
    found.put("lines", lines);
    found.put("buyer", select(pick(document, "buyer"), "name", "email"));
    found.put("customer", of("name", pick(billing, "name"), "billing_address", address(billing)));
    found.put("recipient", of("name", pick(delivery, "name"), "address", address(delivery)));
    return found;
  }

  static String path(String number) {
    return "/orders/" + encode(number);
  }

  static String carry(String number, Order state) throws TryAgain, Refused {
    Answer answer = SHOP.call("GET", path(number), null, null, number, "404");
    if (answer.status() == 404) throw new TryAgain("shop: an order that was announced is not there");
    Map<String, Object> order = needed(answer.body());
    Object fulfilment = pick(answer.body(), "fulfilment");
    if (((String) pick(answer.body(), "updated_at")).compareTo(state.changed) < 0)
      throw new TryAgain("shop: the order is older than its announcement");
    if (order.get("status").equals("cancelled")) takeBack(number, state);
    else if (Boolean.TRUE.equals(order.get("paid"))) fulfil(number, order, fulfilment);
    return sha256(Json.text(order));
  }

  static Sending creating(Remote system, String path, String number, String... names) {
    return (body, key) -> {
      String sent = FORGETFUL && system == SHIPPING ? null : key;
      return select(system.call("POST", path, body, sent, number, null).body(), names);
    };
  }

  static Map<String, Object> findOrCreate(Object buyer, String key, String number) throws TryAgain, Refused {
    Map<String, Object> search = of("email", pick(buyer, "email"));
    for (boolean created = false; ; created = true) {
      Object found = pick(CRM.call("POST", "/customers/search", search, null, number, null).body(), "customers");
      if (!list(found).isEmpty()) return select(list(found).get(0), "customer_id");
      if (created) throw new TryAgain("crm: a customer who exists is not found");
      Answer answer = CRM.call("POST", "/customers", buyer, key, number, "duplicate-email");
      if (answer.body().get("customer_id") != null) return select(answer.body(), "customer_id");
      if (answer.problem().isEmpty()) throw new TryAgain("an answer lacks customer_id");
    }
  }

  static void fulfil(String number, Map<String, Object> order, Object fulfilment) throws TryAgain, Refused {
    Map<String, Object> customer =
        once(number, "customer", order.get("buyer"), (body, key) -> findOrCreate(body, key, number));
    Map<String, Object> activity = of("type", "order_placed", "order_number", number);
    String activities = "/customers/" + encode((String) customer.get("customer_id")) + "/activities";
    once(number, "activity", activity, creating(CRM, activities, number, "activity_id"));

    BigDecimal total = BigDecimal.ZERO;
    for (Object line : list(order.get("lines"))) total = total.add((BigDecimal) pick(line, "net_amount"));
    Map<String, Object> invoice = of("order_number", number, "currency", order.get("currency"));
    invoice.putAll(of("customer", order.get("customer"), "lines", order.get("lines"), "amount_net", total));
    once(number, "invoice", invoice, creating(ACCOUNTING, "/invoices", number, "id"));

    Map<String, Object> parcel = of("reference", number, "recipient", order.get("recipient"));
    Map<String, Object> shipment = once(number, "shipment", parcel, book(number));
    Map<String, Object> report = of("status", "in_progress");
    report.putAll(select(shipment, "carrier", "tracking_number"));
    Map<String, Object> present = object(fulfilment);
    boolean told = report.entrySet().stream().allMatch(one -> one.getValue().equals(present.get(one.getKey())));
    if (!told && !List.of("shipped", "delivered").contains(present.get("status"))) putFulfilment(number, report);
  }

  static Sending book(String number) {
    return creating(SHIPPING, "/shipments", number, "shipment_id", "carrier", "tracking_number");
  }

  static void putFulfilment(String number, Object body) throws TryAgain, Refused {
    SHOP.call("PUT", path(number) + "/fulfilment", body, null, number, null);
  }

  /** What was begun is brought to its end first, so that there is an id to take back. */
  static void takeBack(String number, Order state) throws TryAgain, Refused {
    Map<String, Object> shipment = state.steps.get("shipment"), invoice = state.steps.get("invoice");
    if (shipment != null && shipment.get("refused") == null) {
      Object id = once(number, "shipment", shipment.get("body"), book(number)).get("shipment_id");
      String cancel = "/shipments/" + encode((String) id) + "/cancel";
      once(number, "cancelled", of(), (body, key) -> of("status", SHIPPING.call("POST", cancel, null, null, number, null).problem()));
    }
    if (invoice != null && invoice.get("refused") == null) {
      Sending booking = creating(ACCOUNTING, "/invoices", number, "id");
      String take = "/invoices/" + encode((String) once(number, "invoice", invoice.get("body"), booking).get("id")) + "/void";
      once(number, "void", of(), (body, key) -> of("status", ACCOUNTING.call("POST", take, null, null, number, null).problem()));
    }
  }

  // --- Work -----------------------------------------------------------------------------------------------------

  static void drive(String number) {
    synchronized (LOCK) {
      Order order = ORDERS.get(number);
      if (order.driven || !order.busy()) return;
      order.driven = true;
      WORKERS.execute(() -> work(number, order));
    }
  }

  static void work(String number, Order order) {
    while (true) {
      boolean parking;
      synchronized (LOCK) {
        if (!order.busy()) {
          order.driven = false;
          return;
        }
        parking = order.status.equals("parking");
        if (!parking) order.handled = order.news; // what is heard from now on asks for another round
      }
      try {
        if (parking) {
          putFulfilment(number, of("status", "on_hold", "reason", order.reason));
          end(number, order, "parked", null);
        } else {
          end(number, order, "settled", carry(number, order));
        }
      } catch (TryAgain error) {
        System.err.println(number + " " + error.getMessage());
        if (error.sent) order.failures++;
        if (!parking && order.failures >= MAX_ATTEMPTS) park(number, error.getMessage());
        else sleep(pause(Math.max(1, order.failures), error.notBefore, parking ? LONG_CAP : CAP));
      } catch (Refused error) {
        System.err.println(number + " " + error.getMessage());
        if (parking) store(of("order", number, "status", "parked")); // the shop will not show it; the log has the reason
        else park(number, error.getMessage());
      }
    }
  }

  static void end(String number, Order order, String status, String fingerprint) {
    synchronized (LOCK) {
      boolean news = order.news != order.handled;
      if (!news || status.equals("parked"))
        store(of("order", number, "status", news ? "open" : status, "fingerprint", fingerprint));
    }
  }

  static void park(String number, String reason) {
    String plain = reason.replaceAll("[^ -~]", " ");
    store(of("order", number, "status", "parking", "reason", plain.substring(0, Math.min(500, plain.length()))));
  }

  static void sleep(long milliseconds) {
    try {
      Thread.sleep(Math.max(0, milliseconds));
    } catch (InterruptedException ended) {
      Thread.currentThread().interrupt();
    }
  }

  // --- News from the shop ---------------------------------------------------------------------------------------

  static boolean verified(HttpExchange exchange, byte[] raw) throws Exception {
    String id = exchange.getRequestHeaders().getFirst("webhook-id");
    String timestamp = exchange.getRequestHeaders().getFirst("webhook-timestamp");
    String signatures = exchange.getRequestHeaders().getFirst("webhook-signature");
    if (id == null || signatures == null || timestamp == null || !timestamp.matches("[0-9]{1,12}")) return false;
    if (Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(timestamp)) > TOLERANCE) return false;
    byte[] secret = Base64.getDecoder().decode(ENV.get("WEBHOOK_SECRET").replaceFirst("^whsec_", ""));
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(secret, "HmacSHA256"));
    mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
    byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(raw))).getBytes();
    return Arrays.stream(signatures.split(" ")).anyMatch(one -> MessageDigest.isEqual(one.getBytes(), expected));
  }

  static void receive(String id, Map<String, Object> event) throws TryAgain {
    Map<String, Object> data = event.get("data") == null ? of() : object(event.get("data"));
    Object number = data.get("order_number");
    synchronized (LOCK) {
      // The forgetful one begins with each payment.
      if (FORGETFUL ? "order.placed".equals(event.get("type")) : SEEN.contains(id)) return;
      Map<String, Object> entry = of("webhook", id, "order", number, "changed", data.get("updated_at"));
      if (number != null) entry.put("status", "open");
      if (FORGETFUL && "order.paid".equals(event.get("type"))) entry.put("afresh", true);
      store(entry);
    }
    if (number != null) drive((String) number);
  }

  static int webhook(HttpExchange exchange) throws Exception {
    byte[] raw = exchange.getRequestBody().readNBytes((int) MAX_BODY + 1);
    if (raw.length > MAX_BODY) return 413;
    if (!verified(exchange, raw)) return 401;
    String id = exchange.getRequestHeaders().getFirst("webhook-id");
    Map<String, Object> event = object(Json.parse(new String(raw, StandardCharsets.UTF_8)));
    if (!MISTAKE.equals("acknowledges-before-storing")) receive(id, event);
    else
      WORKERS.execute(
          () -> {
            sleep(250);
            try {
              receive(id, event);
            } catch (TryAgain unreadable) {
              System.err.println(unreadable.getMessage());
            }
          });
    return 204;
  }

  static void notice(Map<String, Object> document) throws TryAgain {
    String number = (String) pick(document, "order_number");
    synchronized (LOCK) {
      Order known = ORDERS.get(number);
      try {
        if (known != null && (known.busy() || known.fingerprint.equals(sha256(Json.text(needed(document)))))) return;
      } catch (TryAgain unreadable) {
        // One order that cannot be read must not hide the others; who looks at it will park it.
      }
      store(of("order", number, "changed", document.get("updated_at"), "status", "open"));
    }
    drive(number);
  }

  static Instant polled = null;

  static void poll() throws TryAgain, Refused {
    Instant began = Instant.now();
    // Two periods early, so that neither a stale list nor a clock that is a little off loses an order.
    String since = polled == null ? "" : "&updated_since=" + encode(polled.minusMillis(2 * RECONCILE).toString());
    String cursor = "";
    do {
      Answer page = SHOP.call("GET", "/orders?limit=100" + since + cursor, null, null, null, null);
      for (Object document : list(pick(page.body(), "orders"))) notice(object(document));
      Matcher next = Pattern.compile("[?&]cursor=([^&>]+)[^>]*>; *rel=\"?next").matcher(page.link());
      cursor = next.find() ? "&cursor=" + next.group(1) : "";
    } while (!cursor.isEmpty());
    polled = began;
  }

  static void reconcile() {
    for (long failures = 0; ; ) {
      long wait = RECONCILE;
      try {
        poll();
        failures = 0;
      } catch (TryAgain error) {
        System.err.println("poll " + error.getMessage());
        wait = pause(++failures, error.notBefore, LONG_CAP);
      } catch (Refused error) {
        System.err.println("poll " + error.getMessage());
        wait = (long) LONG_CAP;
      }
      sleep(wait);
    }
  }

  public static void main(String[] arguments) throws Exception {
    List<String> mistakes = List.of("", "new-key-on-retry", "no-deduplication", "acknowledges-before-storing");
    if (!mistakes.contains(MISTAKE)) throw new IllegalArgumentException("MISTAKE is none of" + String.join(" ", mistakes));
    open();
    InetSocketAddress place = new InetSocketAddress("127.0.0.1", Integer.parseInt(ENV.get("PORT")));
    HttpServer server = HttpServer.create(place, 0);
    server.setExecutor(WORKERS);
    server.createContext("/", exchange -> answer(exchange));
    server.start();
    for (String number : List.copyOf(ORDERS.keySet())) drive(number);
    if (!FORGETFUL && !MISTAKE.equals("acknowledges-before-storing")) WORKERS.execute(Integrator::reconcile);
  }

  static void answer(HttpExchange exchange) throws IOException {
    String path = exchange.getRequestURI().getPath();
    int status = path.equals("/health") ? 200 : 404;
    try {
      if (path.equals("/webhooks") && exchange.getRequestMethod().equals("POST")) status = webhook(exchange);
    } catch (Exception error) {
      System.err.println("webhook " + error);
      status = 500;
    }
    exchange.sendResponseHeaders(status, -1);
    exchange.close();
  }
}
