import java.util.Map;
import org.apache.kafka.clients.admin.Admin;

/** Waits until as many brokers as asked answer: `BrokersReady BOOTSTRAP BROKERS SECONDS`; exit 0 when they do, 1 after the time. */
public class BrokersReady {
    public static void main(String[] arguments) throws Exception {
        int wanted = Integer.parseInt(arguments[1]);
        long deadline = System.nanoTime() + Long.parseLong(arguments[2]) * 1_000_000_000L;
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", arguments[0], "request.timeout.ms", "2000", "default.api.timeout.ms", "2000",
            "reconnect.backoff.max.ms", "200");
        try (Admin admin = Admin.create(settings)) {
            while (System.nanoTime() < deadline) {
                try {
                    if (admin.describeCluster().nodes().get().size() >= wanted) return;
                } catch (java.util.concurrent.ExecutionException notYet) {
                    // The broker is still starting; the deadline decides when that becomes an error.
                }
                Thread.sleep(100);
            }
        }
        System.exit(1);
    }
}
